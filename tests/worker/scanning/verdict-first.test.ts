import type { Preset } from '@millrace/shared/presets/preset.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createFileInspector } from '@millrace/worker/processing/inspect-file.ts'
import { createReport } from '@millrace/worker/processing/report.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('verdict before anything else')
const preset: Preset = { name: 'default', variants: [{ name: 'v', format: 'webp' }] }
const bytes = Buffer.from('bytes')
const arrival = { etag: 'etag', size: bytes.length }
const now = new Date().toISOString()
const upload: Upload = {
  id: newUploadId(),
  owner: 's-tester',
  state: 'processing',
  intent: { filename: 'a', contentType: 'image/png', size: bytes.length, preset: 'default' },
  arrival,
  findings: {},
  variants: [],
  createdAt: now,
  updatedAt: now,
}

/** Inspects a file whose scan ends as it is told. Records what happens in its order. */
function startInspection(detectedType: string) {
  const events: string[] = []
  const verdict = Promise.withResolvers<void>()
  const scanning = Promise.withResolvers<void>()
  const sha256 = 'a'.repeat(64)
  const inspectFile = createFileInspector({
    maxImageBytes: 1_000,
    disabledTypes: new Set(),
    reserveFile: async () => () => events.push('released'),
    async renderImage(_image, { emit }) {
      events.push('rendered')
      emit({ recipe: { name: 'v', format: 'webp' }, width: 1, height: 1, body: Buffer.from('body') })
      return {}
    },
    async inspectMedia() {
      events.push('examined')
      return { findings: {} }
    },
    async writeVariant() {
      events.push('written')
      return { name: 'v', width: 1, height: 1, size: 4, contentType: 'image/webp', key: 'key' }
    },
    openScan: async () => ({
      write: () => {
        events.push('scanned')
        return undefined
      },
      async finish() {
        scanning.resolve()
        await verdict.promise
        events.push('verdict')
      },
      close: () => events.push('closed'),
    }),
  })
  const read = async (sink?: (chunk: Buffer) => unknown) => {
    await sink?.(bytes)
    return { bytes, sha256 }
  }
  const opened = {
    size: bytes.length,
    detectedType,
    typeFoundBy: 'signature' as const,
    readRange: async () => bytes,
    readBytes: read,
    hash: read,
    destroy: () => {},
  }
  const inspected = inspectFile(
    { upload, arrival, variantVersion: '1' },
    preset,
    opened,
    createReport(),
    new AbortController().signal,
  ).then(
    (variants) => variants.length,
    (error: unknown) => (error instanceof AppError ? error.code : error),
  )
  return { events, verdict, scanning: scanning.promise, inspected }
}

for (const [detectedType, after, variants] of [
  ['image/png', ['rendered', 'written', 'released'], 1],
  ['application/pdf', ['rendered', 'written', 'released'], 1],
  ['video/mp4', ['examined'], 0],
  ['text/plain', [], 0],
] as const) {
  test(`a file of ${detectedType} is neither decoded nor written before its verdict`, async () => {
    const { events, verdict, scanning, inspected } = startInspection(detectedType)
    await scanning
    await new Promise(setImmediate)
    assert.equal(events, ['scanned'])
    verdict.resolve()
    assert.is(await inspected, variants)
    assert.equal(events, ['scanned', 'verdict', 'closed', ...after])
  })

  for (const code of [
    'malware_found',
    'scan_unavailable',
    'too_large_to_scan',
    'inspection_refused',
  ] as const) {
    test(`a file of ${detectedType} that ends in ${code} is not decoded`, async () => {
      const { events, verdict, inspected } = startInspection(detectedType)
      verdict.reject(new AppError(code))
      assert.is(await inspected, code)
      assert.equal(
        events.filter((event) => event !== 'released'),
        ['scanned', 'closed'],
      )
    })
  }
}

test.run()
