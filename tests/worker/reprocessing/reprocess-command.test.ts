import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { ListObjectVersionsCommand, S3Client } from '@aws-sdk/client-s3'
import { createEdits } from '@millrace/shared/ledger/edits.ts'
import { manifestKey } from '@millrace/shared/ledger/object-keys.ts'
import { createOriginals } from '@millrace/shared/ledger/originals.ts'
import type { Environment } from '@millrace/shared/service/environment.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { readConfig } from '@millrace/worker/config.ts'
import { createReprocessing } from '@millrace/worker/reprocessing/reprocessing.ts'
import sharp from 'sharp'
import * as assert from 'uvu/assert'
import { runCommand } from '../../support/run-command.ts'
import { type S3Proxy, startS3Proxy } from '../../support/s3-proxy.ts'
import { suite } from '../../support/suite.ts'
import { until } from '../../support/until.ts'
import { sampleImage } from '../support/sample-images.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('reprocess command', {}, { limitMs: 60_000 })
const program = fileURLToPath(import.meta.resolve('@millrace/worker/reprocess-main.ts'))
let fleet: WorkerFleet
let proxy: S3Proxy
let proxiedS3: S3Client

test.before.each(async () => {
  fleet = await startWorkerFleet({ environment: { WORKER_SLOTS: '1', ...presetsOf(20) } })
  proxy = await startS3Proxy(fleet.environment['AWS_ENDPOINT_URL_S3'] ?? '')
  proxiedS3 = new S3Client({ endpoint: proxy.endpoint, ...fleet.identity, maxAttempts: 1 })
})
test.after.each(async () => {
  await fleet.close()
  proxiedS3.destroy()
  await proxy.close()
})

/** Presets with one variant of this width each, and one that never changes. */
function presetsOf(width: number): Environment {
  const variant = { name: 'icon', fit: 'cover', width, height: 8, format: 'png', quality: 80 }
  const presets = ['small', 'other'].map((name) => ({ name, variants: [variant] }))
  return { PRESETS: JSON.stringify([...presets, { name: 'plain', variants: [] }]) }
}

const reprocess = (width: number, ...parameters: string[]) =>
  runCommand(program, parameters, { ...process.env, ...fleet.environment, ...presetsOf(width) })

/** Returns the number in front of words of the report. */
const countIn = (output: string, words: string) =>
  Number(new RegExp(`^ +(\\d+) {2}${words}$`, 'm').exec(output)?.[1])

/** Sends files and waits until a worker has finished them. */
async function arriveFinished(files: [preset: string, owner: string, bytes: Buffer][]) {
  const worker = await fleet.startWorker()
  const addresses: UploadAddress[] = []
  for (const [preset, owner, bytes] of files) {
    addresses.push(await fleet.arrive(bytes, { preset, owner, filename: 'file' }))
  }
  for (const address of addresses) await fleet.finished(address)
  await worker.close()
  fleet.changes.clear()
  return addresses
}

/** Counts manifests in a dry run in this process, with presets of this width. */
async function countManifests(
  width: number,
  options: { owner?: string; preset?: string; after?: string } = {},
) {
  const { s3, bucket, manifests, queue } = fleet
  const config = readConfig({ ...fleet.environment, ...presetsOf(width) })
  const lifecycle = { manifests, edits: createEdits(fleet), originals: createOriginals(fleet) }
  const { owner, preset, after = '' } = options
  const {
    read = 0,
    upToDate = 0,
    outdated = 0,
    otherPreset = 0,
  } = await createReprocessing({ s3, bucket, lifecycle, queue, config })({
    filter: { preset },
    owner,
    after,
    isDryRun: true,
    signal: new AbortController().signal,
    onProgress: () => {},
  })
  return [read, upToDate, outdated, otherPreset]
}

async function manifestVersions(address: UploadAddress): Promise<number> {
  const { Versions = [] } = await fleet.s3.send(
    new ListObjectVersionsCommand({ Bucket: fleet.bucket, Prefix: manifestKey(address) }),
  )
  return Versions.length
}

test('a ready upload is served with its old variants until a worker has made the new ones', async () => {
  const image = await sampleImage('image/png')
  const [address] = await arriveFinished([['small', 's-tester', image]])
  if (!address) throw new Error('Nothing arrived.')
  const before = await fleet.manifests.read(address)
  const { code, output, errors } = await reprocess(40)
  assert.equal([code, errors], [0, ''])
  const words = ['are up to date', 'are outdated', 'of these got a job']
  assert.equal(
    words.map((each) => countIn(output, each)),
    [0, 1, 1],
  )

  const held = proxy.hold(({ method, path }) => method === 'PUT' && path.includes('/variants/'))
  const worker = await fleet.startWorker({ environment: presetsOf(40), s3: proxiedS3 })
  await held.arrived
  const { upload } = (await fleet.records.find(address)) ?? {}
  assert.equal([upload?.state, upload?.variants], ['ready', before?.variants])
  held.release()
  const ready = await fleet.finished(address)
  assert.equal(fleet.changes.states(address.id), ['ready'], 'it was ready all the time')
  const [variant, ...others] = ready.variants
  assert.equal([variant?.width, others], [40, []])
  const widthOf = async (key = '') => (await sharp(await fleet.object(key)).metadata()).width
  assert.is(await widthOf(variant?.key), 40)
  const [old] = before?.variants ?? []
  assert.is(await widthOf(old?.key), old?.width, 'URLs of the old variant that were signed before still work')
  await worker.close()
  assert.equal(await countManifests(40), [1, 1, 0, 0])
})

test('a dry run counts by preset and owner, and changes nothing', async () => {
  const image = await sampleImage('image/png')
  const plain = Buffer.from('text')
  await arriveFinished([
    ['small', 's-a', image],
    ['small', 's-a-b', image],
    ['other', 's-a', image],
    ['plain', 's-a', plain],
  ])
  assert.equal(await countManifests(40), [4, 1, 3, 0])
  assert.equal(await countManifests(40, { owner: 's-a' }), [3, 1, 2, 0])
  assert.equal(await countManifests(40, { preset: 'small' }), [4, 0, 2, 2])
  assert.equal(await countManifests(40, { after: 's-a-b/ffffffff' }), [3, 1, 2, 0], "'-' comes before '/'")
  assert.equal(await countManifests(40, { owner: 's-a', after: 's-a-b/ffffffff' }), [3, 1, 2, 0])
  assert.is((await fleet.queue.counts()).prioritized, 0)
  const unknown = await reprocess(40, '--preset', 'missing')
  assert.equal([unknown.code, unknown.output], [2, ''])
  assert.match(unknown.errors, 'No preset has the name missing: default, small, other, plain.')
})

test('a killed command is repeated: no job is lost or done twice, and new uploads come first', async () => {
  const image = await sampleImage('image/png', 60, 40)
  const outdated = await arriveFinished(Array.from({ length: 12 }, () => ['small', 's-old', image]))
  const limits = { ...presetsOf(40), MAX_QUEUED_JOBS: '8' }
  await stopIt(limits)
  const killed = spawn(process.execPath, [program], {
    env: { ...process.env, ...fleet.environment, ...limits },
    stdio: 'ignore',
  })
  const exited = once(killed, 'exit')
  // Half of the limit: requests to reprocess single uploads find room beside them.
  await until(async () => (await fleet.queue.counts()).prioritized >= 4)
  killed.kill('SIGKILL')
  await exited
  assert.is((await fleet.queue.counts()).prioritized, 4)

  const fresh: UploadAddress[] = []
  for (let i = 0; i < 3; i++) {
    const address = await fleet.arrive(Buffer.from('text'), { owner: 's-new', preset: 'plain' })
    const original = await createOriginals(fleet).find(address)
    await fleet.queue.add({ ...address, etag: original?.arrival.etag ?? '' })
    fresh.push(address)
  }
  await fleet.startWorker({ environment: limits })
  const { code, output } = await runCommand(program, [], {
    ...process.env,
    ...fleet.environment,
    ...limits,
  })
  assert.is(code, 0)
  const first = await Promise.all(fresh.map((address) => fleet.finished(address)))
  const rest = await Promise.all(outdated.map((address) => fleet.finished(address)))
  const lastFresh =
    first
      .map(({ updatedAt }) => updatedAt)
      .sort()
      .at(-1) ?? ''
  assert.is(rest.filter(({ updatedAt }) => updatedAt < lastFresh).length, 0, 'new uploads come first')
  assert.is(countIn(output, 'manifests were read') > 11, true)
  for (const address of outdated) assert.is(await manifestVersions(address), 2)
  assert.equal(await countManifests(40), [15, 15, 0, 0])
})

/** Stops a command that waits for room, as a terminal does: each process of `npm run` passes the signal on. */
async function stopIt(limits: Environment): Promise<void> {
  const stopped = spawn(process.execPath, [program, '--json'], {
    env: { ...process.env, ...fleet.environment, ...limits },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [output, errors, exited] = [text(stopped.stdout), text(stopped.stderr), once(stopped, 'exit')]
  await until(async () => (await fleet.queue.counts()).prioritized >= 4)
  stopped.kill('SIGINT')
  stopped.kill('SIGINT')
  assert.is((await exited)[0], 1)
  assert.match(await errors, /^Stopped\. \d+ manifests were read, 4 uploads got a job\. Start again\.\n$/)
  const { completed, after, counts } = JSON.parse(await output)
  assert.equal([completed, after, counts.queued], [false, '', 4])
}

test('hundreds of jobs of backfill wait behind every new upload', async () => {
  const backfill = Array.from({ length: 300 }, (_, i) => ({
    owner: `s-${i % 7}`,
    id: `01890a5d-ac96-774b-bcce-${String(i).padStart(12, '0')}`,
    etag: 'etag',
  }))
  await Promise.all(backfill.map((job) => fleet.queue.add(job, { isBackfill: true })))
  const address = await fleet.arrive(Buffer.from('text'), { preset: 'plain' })
  const original = await createOriginals(fleet).find(address)
  await fleet.queue.add({ ...address, etag: original?.arrival.etag ?? '' })
  const held = proxy.hold(({ method, path }) => method === 'PUT' && path.includes('/manifests/'))
  await fleet.startWorker({ s3: proxiedS3 })
  await held.arrived
  assert.is((await fleet.queue.counts()).prioritized, backfill.length, 'none of them has started')
  held.release()
  assert.is((await fleet.finished(address)).state, 'ready')
})

test.run()
