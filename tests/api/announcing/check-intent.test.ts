import { createIntentCheck } from '@millrace/api/announcing/check-intent.ts'
import { objectMetadataBytes, toObjectMetadata } from '@millrace/shared/ledger/object-metadata.ts'
import { defaultPreset } from '@millrace/shared/presets/preset.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('check of an intent')
const intent = { filename: 'a', contentType: 'a/b', size: 1, preset: 'default' }
const checkIntent = createIntentCheck({
  presets: new Map([[defaultPreset.name, defaultPreset]]),
  maxUploadBytes: 100,
})

function refusalOf(fields: Partial<typeof intent> & { metadata?: Record<string, string> }) {
  try {
    checkIntent({ ...intent, ...fields })
  } catch (error) {
    if (error instanceof AppError) return [error.code, error.limit, error.fields?.map(({ field }) => field)]
    throw error
  }
  return 'accepted'
}

test('a file of exactly the limit is accepted, and one byte more is refused', () => {
  assert.is(refusalOf({ size: 100 }), 'accepted')
  assert.equal(refusalOf({ size: 101 }), ['upload_too_large', 100, ['size']])
})

test('metadata of exactly what S3 stores is accepted, and one byte more is refused', () => {
  const bytesOf = (metadata: Record<string, string>) =>
    objectMetadataBytes(toObjectMetadata({ ...intent, metadata }))
  const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
  const metadata = Object.fromEntries(names.slice(0, 7).map((name) => [name, 'x'.repeat(256)]))
  const room = 2048 - bytesOf({ ...metadata, h: '' })
  const filled = { ...metadata, h: 'x'.repeat(room) }
  assert.is(bytesOf(filled), 2048)
  assert.is(refusalOf({ metadata: filled }), 'accepted')
  const over = { ...metadata, h: 'x'.repeat(room + 1) }
  assert.equal(refusalOf({ metadata: over }), ['invalid_request', 2048, ['metadata']])
})

test('a preset that is not configured is refused', () => {
  assert.equal(refusalOf({ preset: 'other' }), ['preset_unknown', undefined, ['preset']])
})

test.run()
