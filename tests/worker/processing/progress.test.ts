import { S3Client } from '@aws-sdk/client-s3'
import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { UploadView } from '@millrace/api/uploads/upload-view.ts'
import { createClient } from '@millrace/client'
import { defaultPreset } from '@millrace/shared/presets/preset.ts'
import { UploadProgress } from '@millrace/shared/uploads/upload-progress.ts'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { openEventStream } from '../../support/event-stream.ts'
import { createHttpClient } from '../../support/http-client.ts'
import { type SeenRequest, startS3Proxy } from '../../support/s3-proxy.ts'
import { suite } from '../../support/suite.ts'
import { sampleImage } from '../support/sample-images.ts'
import { type Region, startRegion } from '../support/start-region.ts'

const test = suite('progress of processing')
const view = Compile(UploadView)
const progressView = Compile(UploadProgress)
const owner = 'watcher'
const { key, entry } = newApiKey(owner, ['uploads:read', 'uploads:write'])
let region: Region
let origin: string

test.before(async () => {
  region = await startRegion({ apiKey: entry })
  origin = await region.api.listen({ host: '127.0.0.1', port: 0 })
})
test.after(() => region.close())

const is =
  (method: string, prefix: string) =>
  ({ method: sent, path }: SeenRequest) =>
    sent === method && path.includes(`/${prefix}/`)

test('a client sees that its image is inspected, rendered and published, and nothing after its end', async () => {
  const proxy = await startS3Proxy(region.environment['AWS_ENDPOINT_URL_S3'] ?? '')
  const proxiedS3 = new S3Client({ endpoint: proxy.endpoint, ...region.identity })
  const bytes = await sampleImage('image/jpeg', 400, 300)
  const address = await region.announce(bytes, {}, owner)
  const watcher = createHttpClient(origin)
  const events = await openEventStream(new URL('/events', origin), watcher, undefined, key)
  assert.is((await events.next())?.event, 'snapshot')
  const seen: unknown[] = []
  const next = async () => {
    const event = await events.next()
    if (event?.event === 'progress') seen.push(progressView.Parse(event.data))
    else if (event?.event === 'upload') seen.push(view.Parse(event.data).state)
    return seen.at(-1)
  }
  const isProgress = (step: string, done?: number) => (event: unknown) =>
    progressView.Check(event) && event.step === step && event.done === done
  const until = async (matches: (event: unknown) => boolean) => {
    while (!matches(await next()));
  }
  const ofClient: string[] = []
  const finished = createClient({ origin, apiKey: key }).waitUntilFinished(address.id, {
    onChange: ({ state }) => ofClient.push(state),
    onProgress: ({ step }) => ofClient.push(step),
  })

  // Each step takes longer than the throttle, since the worker waits for S3 until the step was seen.
  const reading = proxy.hold(is('GET', 'originals'))
  const worker = await region.startWorker({ s3: proxiedS3 })
  await region.arrive(bytes, address)
  await until(isProgress('inspecting'))
  const writing = proxy.hold(is('PUT', 'variants'))
  reading.release()
  const total = defaultPreset.variants.length
  await until(isProgress('rendering', total))
  const publishing = proxy.hold(is('PUT', 'manifests'))
  writing.release()
  await until(isProgress('publishing'))
  publishing.release()
  await until((event) => event === 'ready')

  const { state, variants } = await finished
  assert.is(state, 'ready')
  const manifest = await region.manifests.read(address)
  assert.equal(
    variants.map(({ sha256 }) => sha256),
    manifest?.variants.map(({ sha256 }) => sha256),
  )
  assert.match(variants[0]?.sha256 ?? '', /^[0-9a-f]{64}$/)
  assert.equal([...new Set(ofClient)].slice(-3), ['rendering', 'publishing', 'ready'])
  assert.is(ofClient.at(-1), 'ready')
  const steps = seen.filter((event) => progressView.Check(event))
  assert.ok(steps.every(({ id }) => id === address.id))
  assert.equal(
    [...new Set(seen.map((event) => (progressView.Check(event) ? event.step : event)))],
    ['received', 'processing', 'inspecting', 'rendering', 'publishing', 'ready'],
  )
  // The next event is of the next upload.
  await region.announce(bytes, {}, owner)
  assert.is(await next(), 'awaiting')
  events.close()
  await worker.close()
  proxiedS3.destroy()
  await proxy.close()
})

test.run()
