import { S3Client } from '@aws-sdk/client-s3'
import { Problem } from '@millrace/api/requests/problem.ts'
import { connectStreamingS3 } from '@millrace/shared/connections/connections.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient, type HttpClient, type HttpResponse } from '../../support/http-client.ts'
import { type S3Proxy, startS3Proxy } from '../../support/s3-proxy.ts'
import { announce } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'
import { createTus, patchTus } from '../../support/tus-client.ts'
import { waysToSend } from '../../support/ways-to-send.ts'

const test = suite("S3's timeouts")
const MiB = 1024 ** 2

let proxy: S3Proxy
let api: ApiInstances
let client: HttpClient
let closeClients: () => void

test.before(async () => {
  api = await startApiInstances({
    async connectS3(access) {
      proxy = await startS3Proxy(access.endpoint)
      const s3 = new S3Client({ ...access, endpoint: proxy.endpoint, maxAttempts: 1 })
      const streamingS3 = connectStreamingS3({ ...access, endpoint: proxy.endpoint })
      closeClients = () => [s3, streamingS3].map((s3Client) => s3Client.destroy())
      return { s3, streamingS3 }
    },
  })
})
test.before.each(async () => {
  proxy.intercept(() => 'pass')
  client = createHttpClient(api.url)
  await client.get('/session')
})
test.after(async () => {
  await api.close()
  closeClients()
  await proxy.close()
})

function assertOutage(response: HttpResponse): void {
  assert.equal([response.status, bodyOf(response, Problem).code], [503, 'dependency_unavailable'])
  assert.is(response.headers.get('retry-after'), '5')
}

for (const [name, send] of waysToSend.filter(([name]) => /multipart|direct|tus/.test(name))) {
  test(`if S3 answers RequestTimeout, ${name} gets 503 with Retry-After`, async () => {
    proxy.intercept(() => 'time-out')
    assertOutage(await send(client))
  })
}

test('if S3 answers RequestTimeout to a part, a direct upload gets 503 with Retry-After', async () => {
  proxy.intercept(({ path }) => (path.includes('partNumber=') ? 'time-out' : 'pass'))
  // Without a Content-Length the file is sent in parts.
  const response = await fetch(`${api.url}/upload?filename=a.txt`, {
    method: 'POST',
    body: new Blob([new Uint8Array(20 * MiB)]).stream(),
    duplex: 'half',
    headers: { 'content-type': 'text/plain' },
  })
  assertOutage({ status: response.status, headers: response.headers, body: await response.json() })
})

test('if S3 answers RequestTimeout to a tus chunk, the client gets 503 and can go on', async () => {
  const path = await createTus(client, 8)
  const chunk = { offset: 0, bytes: new Uint8Array(Buffer.from('the file')) }
  proxy.intercept(({ method }) => (method === 'PUT' ? 'time-out' : 'pass'))
  const refused = await patchTus(client, api.url + path, chunk)
  assert.equal([refused.status, refused.code], [503, 'dependency_unavailable'])
  proxy.intercept(() => 'pass')
  assert.is((await patchTus(client, api.url + path, chunk)).status, 204)
})

test('if S3 answers RequestTimeout, parts, completion and erasing get 503 with Retry-After', async () => {
  const { id } = await announce(client, 9 * MiB)
  proxy.intercept(() => 'time-out')
  assertOutage(await client.get(`/uploads/${id}/parts`))
  assertOutage(await client.post(`/uploads/${id}/complete`, { parts: [{ partNumber: 1, etag: 'x' }] }))
  assertOutage(await client.delete(`/uploads/${id}`))
})

test.run()
