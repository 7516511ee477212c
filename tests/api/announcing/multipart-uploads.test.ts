import { createMultipartUploads } from '@millrace/api/announcing/multipart-uploads.ts'
import { createUrlSigner } from '@millrace/api/signing/sign-url.ts'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import * as assert from 'uvu/assert'
import { openContractTarget } from '../../local-s3/support/contract-target.ts'
import { suite } from '../../support/suite.ts'

const target = await openContractTarget()
const { client, bucket } = target
const test = suite('multipart uploads')
const intent = { filename: 'a.bin', contentType: 'a/b', size: 5, preset: 'default' }

test.after(() => target.close())

/** Opens a multipart upload with parts of one byte. */
async function openWithParts(count: number) {
  const signer = createUrlSigner({ s3: client, bucket })
  const multipartUploads = createMultipartUploads({ s3: client, bucket, signer })
  const address = { owner: 's-tester', id: newUploadId() }
  const multipart = await multipartUploads.open(address, intent, { partSize: 1, partCount: 5 })
  const part = { Bucket: bucket, Key: originalKey(address), UploadId: multipart.uploadId, Body: 'x' }
  for (let PartNumber = 1; PartNumber <= count; PartNumber++) await client.uploadPart({ ...part, PartNumber })
  return { list: () => multipartUploads.list(address, multipart) }
}

test('the parts of a multipart upload are listed once each, however many pages they fill', async () => {
  const { list } = await openWithParts(5)
  const numbers = async () => (await list())?.map(({ partNumber, size }) => [partNumber, size])
  const all = [1, 2, 3, 4, 5].map((partNumber) => [partNumber, 1])
  assert.equal(await numbers(), all)
  client.middlewareStack.add((next) => (args) => next({ ...args, input: { ...args.input, MaxParts: 2 } }), {
    step: 'initialize',
    name: 'small-pages',
  })
  try {
    assert.equal(await numbers(), all)
  } finally {
    client.middlewareStack.remove('small-pages')
  }
})

test('a multipart upload without parts lists none', async () => {
  const { list } = await openWithParts(0)
  assert.equal(await list(), [])
})

test.run()
