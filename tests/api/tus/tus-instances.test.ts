import { createHash } from 'node:crypto'
import { Agent } from 'node:http'
import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { createClient } from '@millrace/client'
import { startLoadBalancer } from '@millrace/local/fleet/load-balancer.ts'
import { DefaultHttpStack, Upload } from 'tus-js-client'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { startApiProcess } from '../../support/api-process.ts'
import { distinctBytes } from '../../support/distinct-bytes.ts'
import { createHttpClient } from '../../support/http-client.ts'
import { startS3Proxy } from '../../support/s3-proxy.ts'
import { readUpload } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'
import { createTus, openPatch, patchTus, tusOffset } from '../../support/tus-client.ts'
import { startWorkerBeside } from '../../support/worker-beside-api.ts'

const MiB = 1024 ** 2
const test = suite('tus on several instances', {}, { limitMs: 60_000 })
const { key, entry } = newApiKey('shop', ['uploads:read', 'uploads:write'])
let api: ApiInstances

test.before(async () => {
  api = await startApiInstances({ count: 2, environment: { API_KEYS: entry, PROXY_PROTOCOL: 'true' } })
})
test.after(() => api.close())

const portOf = (url: string) => Number(new URL(url).port)

test('tus-js-client finishes an upload although one of three instances is killed meanwhile', async () => {
  const proxy = await startS3Proxy(api.environment['AWS_ENDPOINT_URL_S3'] ?? '')
  const killed = await startApiProcess({
    ...api.environment,
    AWS_ENDPOINT_URL_S3: proxy.endpoint,
    LOG_LEVEL: 'info',
  })
  // The first bytes that this instance writes to S3 are those of the third chunk. It is killed while they are sent.
  const write = proxy.hold(({ method }) => method === 'PUT')
  const kill = write.arrived.then(() => killed.kill())
  const balancer = await startLoadBalancer({ host: '127.0.0.1', port: 0 })
  for (const port of [killed.port, ...api.urls.map(portOf)]) balancer.add(port)
  const worker = await startWorkerBeside(api)
  const bytes = Buffer.from(distinctBytes(11 * MiB))
  const chunkSize = 3 * MiB
  const exchanges: string[] = []
  const origin = `http://127.0.0.1:${balancer.port}`
  // Each request has its own connection, so the balancer gives each to the next instance. The third chunk is
  // sent to the instance that handled the POST.
  const httpStack = new DefaultHttpStack({ agent: new Agent({ keepAlive: false }) })
  const url = await new Promise<string>((resolve, reject) => {
    const upload = new Upload(bytes, {
      endpoint: `${origin}/tus/`,
      httpStack,
      headers: { authorization: `Bearer ${key}` },
      metadata: { filename: 'movie.bin', filetype: 'application/octet-stream' },
      chunkSize,
      retryDelays: [0, 100, 200],
      onAfterResponse: (request, response) => {
        exchanges.push(`${request.getMethod()} ${response.getStatus()}`)
      },
      onSuccess: () => resolve(upload.url ?? ''),
      onError: reject,
    })
    upload.start()
  })
  await kill
  write.release()
  // The balancer responds 503 for an instance that was killed before it responded.
  assert.equal(exchanges.slice(0, 5), ['POST 201', 'PATCH 204', 'PATCH 204', 'PATCH 503', 'HEAD 200'])
  const id = url.slice(url.lastIndexOf('/') + 1)
  const { state, sha256 } = await createClient({ origin, apiKey: key }).waitUntilFinished(id)
  assert.is(state, 'ready')
  assert.is(sha256, createHash('sha256').update(bytes).digest('hex'))
  await worker.close()
  await balancer.close()
  await proxy.close()
})

test('an instance that shuts down stores the bytes it has, and another instance continues', async () => {
  // Without a balancer in front of it.
  const stopping = await startApiProcess({
    ...api.environment,
    PROXY_PROTOCOL: 'false',
    LOG_LEVEL: 'info',
  })
  const balancer = await startLoadBalancer({ host: '127.0.0.1', port: 0 })
  for (const url of api.urls) balancer.add(portOf(url))
  const origin = `http://127.0.0.1:${balancer.port}`
  const client = createHttpClient(origin)
  const bytes = distinctBytes(9 * MiB)
  const path = await createTus(client, bytes.length)
  const patch = openPatch(client, stopping.url + path, { offset: 0, length: bytes.length })
  await patch.send(bytes.subarray(0, 8 * MiB + 1000))
  const exitCode = stopping.stop()
  assert.is(await patch.status, 503)
  assert.is(await exitCode, 0)
  const offset = await tusOffset(client, path)
  assert.ok(offset > 0)
  const last = await patchTus(client, origin + path, { offset, bytes: bytes.subarray(offset) })
  assert.equal([last.status, last.offset], [204, bytes.length])
  assert.is((await readUpload(client, path.slice('/tus/'.length))).state, 'received')
  await balancer.close()
})

test.run()
