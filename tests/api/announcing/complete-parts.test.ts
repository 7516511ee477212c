import { S3Client } from '@aws-sdk/client-s3'
import { createCompleteUpload } from '@millrace/api/announcing/complete-upload.ts'
import { createMultipartUploads, type Part } from '@millrace/api/announcing/multipart-uploads.ts'
import { createUrlSigner } from '@millrace/api/signing/sign-url.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('parts of a completion')
const s3 = new S3Client({ region: 'local', credentials: { accessKeyId: 'a', secretAccessKey: 'b' } })
const common = { s3, bucket: 'bucket' }
const multipartUploads = createMultipartUploads({ ...common, signer: createUrlSigner(common) })
const time = '2026-11-28T12:00:00.000Z'

test.after(() => s3.destroy())

/** A file of parts of 5 bytes, the last of 2. */
function awaiting(partCount = 3): Upload {
  return {
    ...{ id: newUploadId(), owner: 's-1', state: 'awaiting', findings: {}, variants: [] },
    ...{ createdAt: time, updatedAt: time },
    intent: { filename: 'a', contentType: 'a/b', size: 5 * (partCount - 1) + 2, preset: 'default' },
    multipart: { uploadId: 'multipart-1', partSize: 5, partCount },
  }
}

const partsOf = (sizes: readonly number[]): Part[] =>
  sizes.map((size, index) => ({ partNumber: index + 1, etag: `e${index + 1}`, size }))
const whole = partsOf([5, 5, 2])
const received: Upload = { ...awaiting(), state: 'received', arrival: { etag: 'e', size: 12 } }

/**
 * Completes an upload whose parts S3 lists as one of `listings` after the other, until one of them completes.
 * @returns the upload or the error, and what was asked of S3 in its order
 */
async function complete(
  claimed: { partNumber: number; etag: string }[],
  options: {
    upload?: Upload | undefined
    listings?: (Part[] | undefined)[]
    outcomes?: ('completed' | 'closed' | 'changed')[]
    hasObject?: boolean
    deletes?: boolean
  } = {},
) {
  const { listings = [whole], outcomes = ['completed'], hasObject = true, deletes = true } = options
  const upload = 'upload' in options ? options.upload : awaiting()
  const steps: string[] = []
  const completeUpload = createCompleteUpload({
    lookup: { find: async () => upload && { upload, revision: 1 } },
    multipartUploads: {
      ...multipartUploads,
      async list() {
        steps.push('list')
        return listings.shift()
      },
      async complete(_address, { uploadId }, parts) {
        steps.push(`complete ${uploadId}: ${parts.map(({ etag }) => etag)}`)
        return outcomes.shift() ?? 'completed'
      },
    },
    async receiveUpload() {
      steps.push('receive')
      return hasObject ? { upload: received, revision: 2, isCopy: false } : undefined
    },
    announcements: {
      async delete() {
        steps.push('forget')
        if (!deletes) throw new Error('S3 does not respond.')
      },
    },
  })
  const result = await completeUpload({ owner: 's-1', id: 'any' }, claimed).catch((error: unknown) => {
    if (error instanceof AppError) return `${error.code}: ${error.message}`
    throw error
  })
  return { result, steps }
}

const all = ['list', 'complete multipart-1: e1,e2,e3', 'receive', 'forget']

test('an upload is completed with the parts that S3 has, whether their etags are quoted or not', async () => {
  assert.equal(await complete(whole), { result: received, steps: all })
  const quoted = whole.map(({ partNumber, etag }) => ({ partNumber, etag: `"${etag}"` }))
  assert.equal(await complete(quoted), { result: received, steps: all })
})

test('an announcement that cannot be deleted fails no completion, and is not deleted before the file is recorded', async () => {
  assert.equal(await complete(whole, { deletes: false }), { result: received, steps: all })
  const { steps } = await complete(whole, { hasObject: false })
  assert.equal(steps, all.slice(0, 3))
})

test('each part must be there, have its size and the etag that the client got', async () => {
  for (const [stored, claimed, message] of [
    [partsOf([5, 5]), whole, 'part 3 is missing'],
    [partsOf([5, 4, 2]), whole, 'part 2 has 4 bytes, not 5'],
    [partsOf([5, 5, 3]), whole, 'part 3 has 3 bytes, not 2'],
    [whole, whole.with(1, { partNumber: 2, etag: 'other', size: 5 }), 'part 2 has a different etag'],
    [
      whole,
      whole.slice(0, 2),
      'part 3 has a different etag; the file has 3 parts; S3 has 3, the request lists 2',
    ],
    [partsOf([5, 5, 2, 1]), whole, 'the file has 3 parts; S3 has 4, the request lists 3'],
    [whole, partsOf([5, 5, 2, 1]), 'the file has 3 parts; S3 has 3, the request lists 4'],
  ] as const) {
    const { result, steps } = await complete([...claimed], { listings: [[...stored]] })
    assert.equal([result, steps], [`parts_mismatch: ${message}.`, ['list']])
  }
})

test('of many differences ten are named', async () => {
  const { result } = await complete([], { upload: awaiting(12), listings: [[]] })
  const named = Array.from({ length: 10 }, (_, index) => `part ${index + 1} is missing`)
  const counts = 'the file has 12 parts; S3 has 0, the request lists 0'
  assert.is(result, `parts_mismatch: ${[...named, counts].join('; ')}.`)
})

test('parts that changed since they were listed are listed once more', async () => {
  const again = ['list', 'complete multipart-1: e1,e2,e3']
  assert.equal(await complete(whole, { listings: [whole, whole], outcomes: ['changed', 'completed'] }), {
    result: received,
    steps: [...again, ...all],
  })
  const changing = await complete(whole, {
    listings: [whole, whole, whole],
    outcomes: ['changed', 'changed'],
  })
  assert.equal(changing, {
    result: 'parts_mismatch: Parts of this upload were overwritten while it was completed.',
    steps: [...again, ...again],
  })
})

test('a multipart upload that is not open any more was completed by another request, or is gone', async () => {
  const closed = { listings: [undefined] }
  assert.equal(await complete(whole, closed), { result: received, steps: ['list', 'receive', 'forget'] })
  assert.equal((await complete(whole, { outcomes: ['closed'] })).result, received)
  assert.equal(await complete(whole, { listings: [undefined], hasObject: false }), {
    result: 'parts_mismatch: S3 has deleted the parts of this upload.',
    steps: ['list', 'receive'],
  })
})

test('an upload that has arrived, does not exist or is not sent in parts asks nothing of S3', async () => {
  const { multipart: _, ...form } = awaiting()
  for (const [upload, result] of [
    [received, received],
    [undefined, `upload_not_found: ${new AppError('upload_not_found').message}`],
    [form, `upload_not_multipart: ${new AppError('upload_not_multipart').message}`],
  ] as const)
    assert.equal(await complete(whole, { upload }), { result, steps: [] })
})

test.run()
