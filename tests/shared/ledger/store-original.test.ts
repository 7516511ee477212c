import { S3Client } from '@aws-sdk/client-s3'
import { createStoreOriginal } from '@millrace/shared/ledger/store-original.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import * as assert from 'uvu/assert'
import { openContractTarget } from '../../local-s3/support/contract-target.ts'
import { type S3Proxy, type SeenRequest, startS3Proxy } from '../../support/s3-proxy.ts'
import { suite } from '../../support/suite.ts'

const test = suite('store original')
const target = await openContractTarget()
const { client, bucket } = target
const partBytes = 5 * 1024 ** 2
const intent = { filename: 'a.bin', contentType: 'application/octet-stream', size: 0, preset: 'default' }
const rejected = new Error('rejected')
const isOpening = ({ method, path }: SeenRequest) => method === 'POST' && /\?uploads/.test(path)
let proxy: S3Proxy
let s3: S3Client

test.before(async () => {
  const endpoint = await client.config.endpoint?.()
  if (!endpoint) throw new Error('The contract target has no endpoint.')
  const { protocol, hostname, port } = endpoint
  proxy = await startS3Proxy(`${protocol}//${hostname}:${port}`)
  const { region, credentials } = client.config
  s3 = new S3Client({ endpoint: proxy.endpoint, region, credentials, forcePathStyle: true, maxAttempts: 2 })
})
test.after(async () => {
  s3.destroy()
  await proxy.close()
  await target.close()
})

/** Stores one part's bytes, then rejects the file when `afterFirstPart` rejects. */
async function storeRejected(afterFirstPart: () => Promise<never>, signal = new AbortController().signal) {
  const storeOriginal = createStoreOriginal({
    s3,
    streamingS3: client,
    bucket,
    log: { warn: () => undefined },
  })
  const address = { owner: 'tester', id: newUploadId() }
  const storing = storeOriginal.inParts(address, intent, {
    chunks: (async function* () {
      yield Buffer.alloc(partBytes)
      await afterFirstPart()
    })(),
    partBytes: () => partBytes,
    limitBytes: 10 * partBytes,
    beforeCommit: async () => undefined,
    signal,
  })
  const outcome = await storing.then(
    () => 'stored',
    (error: unknown) => error,
  )
  const { Uploads = [] } = await client.listMultipartUploads({ Bucket: bucket })
  return { outcome, open: Uploads.filter(({ Key }) => Key?.includes(address.id)).length }
}

test('a file rejected while S3 opens its multipart upload leaves no open multipart upload', async () => {
  const opening = proxy.holdResponse(isOpening)
  const aborting = new AbortController()
  const { outcome, open } = await storeRejected(async () => {
    await opening.arrived
    aborting.abort(rejected)
    opening.release()
    throw rejected
  }, aborting.signal)
  assert.is(outcome, rejected)
  assert.is(open, 0)
})

test('a file whose multipart upload was opened, but whose response was lost, leaves none open', async () => {
  proxy.intercept((seen) => (isOpening(seen) ? 'cut' : 'pass'))
  const waiting = Promise.withResolvers<never>()
  const { outcome, open } = await storeRejected(async () => {
    setImmediate(() => waiting.reject(rejected))
    return waiting.promise
  })
  proxy.intercept(() => 'pass')
  assert.instance(outcome, Error)
  assert.is(open, 0)
})

test.run()
