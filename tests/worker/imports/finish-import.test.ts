import { AppError, type ErrorCode, errorCatalogue } from '@millrace/shared/service/app-error.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import { createFinishImport, isFinalImportError } from '@millrace/worker/imports/finish-import.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('finishing an import')
const codes = Object.keys(errorCatalogue).filter((code): code is ErrorCode => code in errorCatalogue)
const address = { owner: 's-tester', id: newUploadId() }

function uploadWith(fields: Partial<Upload>): Upload {
  const at = new Date(0).toISOString()
  const intent = { filename: 'a', contentType: 'text/plain', size: 1, preset: 'default' }
  const source = { url: 'https://example.com/secret' }
  const rest = { findings: {}, variants: [], createdAt: at, updatedAt: at, source }
  return { ...address, state: 'awaiting', intent, ...rest, ...fields }
}

/** Finishes an import. @param upload its record; undefined: it was erased */
async function finish(upload: Upload | undefined, state: 'rejected' | 'failed', thrown: unknown) {
  let stored = upload
  const steps: string[] = []
  const unused = async () => {
    throw new Error('not used')
  }
  const update: UploadRecords['update'] = async (_address, change) => {
    if (!stored) throw new AppError('upload_not_found')
    stored = change(stored) ?? stored
    return { upload: stored, revision: 1 }
  }
  const records: UploadRecords = {
    find: unused,
    create: unused,
    update,
    putChecked: unused,
    forget: unused,
    erase: unused,
    networksOf: unused,
    isErased: unused,
    verifyErasure: unused,
    isErasureVerified: unused,
    confirmErasure: unused,
    isErasureConfirmed: unused,
    lastSequence: unused,
    changedSince: unused,
    usersChangedSince: unused,
    recentChanges: unused,
  }
  await createFinishImport({
    records,
    quota: {
      reserve: unused,
      resize: unused,
      extend: unused,
      release: async () => void steps.push('released'),
      cancel: async () => void steps.push('cancelled'),
    },
    tellImport: async (told) => void steps.push(`told ${told.state}`),
  })(address, state, thrown)
  return { stored, steps }
}

test('an import is final if its source or its owner is at fault, and retried for all other errors', () => {
  const final = codes.filter((code) => isFinalImportError(new AppError(code)))
  assert.equal(final.toSorted(), [
    'quota_exceeded',
    'quota_exhausted_today',
    'size_mismatch',
    'source_not_found',
    'source_refused',
    'source_too_slow',
    'source_unusable',
    'upload_too_large',
  ])
  assert.is(isFinalImportError(new Error('x')), false)
})

test('a rejected import releases its quota but counts for the day, and a failed one does not', async () => {
  const rejected = await finish(uploadWith({}), 'rejected', new AppError('source_not_found'))
  assert.equal(rejected.steps, ['released', 'told rejected'])
  assert.equal([rejected.stored?.state, rejected.stored?.source], ['rejected', undefined])
  const failed = await finish(uploadWith({}), 'failed', new Error('x'))
  assert.equal(failed.steps, ['cancelled', 'told failed'])
})

test('an import whose bytes are stored is not finished without them, and keeps its quota', async () => {
  const upload = uploadWith({ state: 'received', arrival: { etag: 'e', size: 1 } })
  const { stored, steps } = await finish(upload, 'failed', new Error('x'))
  assert.equal([stored, steps], [upload, []])
})

test('an import that was erased meanwhile releases its quota, and is not told', async () => {
  assert.equal((await finish(undefined, 'rejected', new AppError('source_refused'))).steps, ['released'])
})

test('the owner sees why a source failed, and nothing of our own faults', async () => {
  const seen: string[] = []
  for (const code of codes) {
    const { stored } = await finish(uploadWith({}), 'failed', new AppError(code, { message: '10.0.0.7' }))
    if (stored?.error?.message === '10.0.0.7') seen.push(code)
    else assert.is(stored?.error?.code, 'processing_failed', code)
  }
  const sourceCodes = codes.filter((code) => isFinalImportError(new AppError(code)))
  assert.equal(seen.toSorted(), [...sourceCodes, 'source_unavailable'].toSorted())
  const { stored } = await finish(uploadWith({}), 'failed', new Error('connect 10.0.0.7'))
  assert.is(stored?.error?.code, 'processing_failed')
})

test.run()
