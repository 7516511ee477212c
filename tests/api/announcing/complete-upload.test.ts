import { randomBytes } from 'node:crypto'
import { S3Client } from '@aws-sdk/client-s3'
import { Problem } from '@millrace/api/requests/problem.ts'
import { UploadView } from '@millrace/api/uploads/upload-view.ts'
import { connectStreamingS3 } from '@millrace/shared/connections/connections.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { type ProxyAction, type S3Proxy, type SeenRequest, startS3Proxy } from '../../support/s3-proxy.ts'
import { announce, multipartOf, sendPart } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'

const test = suite('complete an upload in parts')
const MiB = 1024 ** 2
const size = 16 * MiB
let api: ApiInstances
let proxy: S3Proxy
let closeClients: () => void

test.before(async () => {
  api = await startApiInstances({
    async connectS3(access) {
      proxy = await startS3Proxy(access.endpoint)
      const s3 = new S3Client({ ...access, endpoint: proxy.endpoint, maxAttempts: 1 })
      const streamingS3 = connectStreamingS3({ ...access, endpoint: proxy.endpoint })
      const publicS3 = new S3Client(access)
      closeClients = () => [s3, streamingS3, publicS3].map((client) => client.destroy())
      return { s3, streamingS3, publicS3 }
    },
  })
})
test.after(async () => {
  await api.close()
  closeClients()
  await proxy.close()
})

const completes = ({ method, path }: SeenRequest) =>
  method === 'POST' && path.includes('uploadId=') && !path.includes('uploads&')
const listsParts = ({ method, path }: SeenRequest) => method === 'GET' && path.includes('uploadId=')

/** Sends a file of two parts. */
async function sendAllParts() {
  const client = createHttpClient(api.url)
  const announced = await announce(client, size)
  const { parts } = multipartOf(announced)
  const bytes = parts.map(() => new Uint8Array(randomBytes(8 * MiB)))
  const claimed = await Promise.all(
    parts.map(async ({ partNumber, url }, i) => ({
      partNumber,
      etag: await sendPart(url, bytes[i] ?? new Uint8Array()),
    })),
  )
  const complete = () => client.post(`/uploads/${announced.id}/complete`, { parts: claimed })
  const lastUrl = parts[1]?.url ?? ''
  return { complete, lastUrl, lastBytes: bytes[1] ?? new Uint8Array() }
}

test('a part that is overwritten while its upload is completed is a mismatch', async () => {
  const { complete, lastUrl, lastBytes } = await sendAllParts()
  const held = proxy.hold(completes)
  const completing = complete()
  await held.arrived
  await sendPart(lastUrl, new Uint8Array(8 * MiB))
  held.release()
  const refused = await completing
  const problem = bodyOf(refused, Problem)
  assert.equal([refused.status, problem.code], [409, 'parts_mismatch'])
  assert.match(problem.detail, /part 2 has a different etag/)

  await sendPart(lastUrl, lastBytes)
  assert.is((await complete()).status, 202)
})

test('a part that is overwritten for a moment does not fail its upload', async () => {
  const { complete, lastUrl, lastBytes } = await sendAllParts()
  let lists = 0
  let isOverwritten = false
  proxy.intercept(async (seen): Promise<ProxyAction> => {
    if (completes(seen) && !isOverwritten) {
      isOverwritten = true
      await sendPart(lastUrl, new Uint8Array(8 * MiB))
    }
    if (listsParts(seen)) {
      lists += 1
      if (lists === 2) await sendPart(lastUrl, lastBytes)
    }
    return 'pass'
  })
  const completed = await complete()
  assert.is(completed.status, 202)
  assert.is(bodyOf(completed, UploadView).state, 'received')
})

test('a part that is overwritten again and again ends as a mismatch', async () => {
  const { complete, lastUrl, lastBytes } = await sendAllParts()
  proxy.intercept(async (seen): Promise<ProxyAction> => {
    if (completes(seen)) await sendPart(lastUrl, new Uint8Array(8 * MiB))
    if (listsParts(seen)) await sendPart(lastUrl, lastBytes)
    return 'pass'
  })
  const refused = await complete()
  assert.equal([refused.status, bodyOf(refused, Problem).code], [409, 'parts_mismatch'])
  proxy.intercept(() => 'pass')
})

test('a request that another one overtook returns the completed upload', async () => {
  const { complete } = await sendAllParts()
  const held = proxy.hold(completes)
  const first = complete()
  await held.arrived
  assert.is((await complete()).status, 202)
  held.release()
  const overtaken = await first
  assert.is(overtaken.status, 202)
  assert.is(bodyOf(overtaken, UploadView).state, 'received')
})

test.run()
