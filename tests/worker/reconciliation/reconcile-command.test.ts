import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CreateMultipartUploadCommand, ListObjectVersionsCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { type RedisServer, startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { originalKey, sweepStateKey } from '@millrace/shared/ledger/object-keys.ts'
import * as assert from 'uvu/assert'
import { runCommand } from '../../support/run-command.ts'
import { suite } from '../../support/suite.ts'
import { watchWrites } from '../support/watch-writes.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('reconcile command', {}, { limitMs: 120_000 })
const program = fileURLToPath(import.meta.resolve('@millrace/worker/reconcile-main.ts'))
/** Its time of creation is long ago: its parts have expired. */
const expired = { owner: 's-tester', id: '01900000-0000-7000-8000-000000000000' }
let directory: string
let redisServer: RedisServer
let fleet: WorkerFleet

test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-redis-'))
  redisServer = await startRedisServer({ directory })
  fleet = await startWorkerFleet({ redisUrl: redisServer.url })
  await fleet.s3.send(new CreateMultipartUploadCommand({ Bucket: fleet.bucket, Key: originalKey(expired) }))
  await fleet.arrive(Buffer.from('young'))
})
test.after(async () => {
  await fleet.close()
  await redisServer.close()
  await rm(directory, { recursive: true })
})

const reconcile = (...parameters: string[]) =>
  runCommand(program, parameters, { ...process.env, ...fleet.environment })

/** Returns lines such as `1 originals` of the report. */
const countIn = (output: string, words: string) => new RegExp(`^ +(\\d+) {2}${words}`, 'm').exec(output)?.[1]

test('the reconcile command prints what a dry run found, and changes nothing', async () => {
  const versions = async () =>
    (await fleet.s3.send(new ListObjectVersionsCommand({ Bucket: fleet.bucket }))).Versions
  const before = await versions()
  const { changes } = await watchWrites(redisServer.url, fleet.s3, async () => {
    const { code, output, errors } = await reconcile('--dry-run')
    assert.equal([code, errors], [0, ''])
    assert.is(countIn(output, 'originals$'), '1')
    assert.is(countIn(output, 'originals without a manifest that are young'), '1')
    assert.is(countIn(output, 'expired uploads with parts'), '1')
    assert.match(output, `${expired.owner}/${expired.id}\n`)
    assert.match(output, 'Dry run: 1 would be corrected, nothing was changed.\n')
  })
  assert.equal(changes, [])
  assert.equal(await versions(), before)
})

test('an interrupted run is continued on request, and the result is one JSON object', async () => {
  const none = await reconcile('--continue')
  assert.equal([none.code, none.output], [1, ''])
  assert.is(none.errors, 'No run was interrupted, so none can be continued: run it without --continue.\n')
  const state = { version: 1, startedAt: new Date().toISOString(), stage: 'multipart', cursor: '' }
  await fleet.s3.send(
    new PutObjectCommand({
      Bucket: fleet.bucket,
      Key: sweepStateKey(),
      Body: JSON.stringify({ ...state, counts: { originals: 41 } }),
    }),
  )
  const { code, output, errors } = await reconcile('--continue', '--json', '--dry-run')
  assert.equal([code, errors], [0, ''])
  const { counts, ...result } = JSON.parse(output)
  // The originals were counted before.
  assert.equal([counts.originals, counts['expired-parts']], [41, 1])
  assert.equal(result, {
    completed: true,
    dryRun: true,
    uploads: { 'expired-parts': [`${expired.owner}/${expired.id}`] },
  })
})

test('the reconcile command does not run beside another sweep', async () => {
  await fleet.redis.set(`${fleet.prefix}:sweep`, 'a worker')
  const { code, output, errors } = await reconcile()
  assert.equal([code, output], [1, ''])
  assert.is(errors, 'Another sweep is running. Try again when it has ended; the log has "swept".\n')
  await fleet.redis.del(`${fleet.prefix}:sweep`)
})

test('the reconcile command corrects what it found, and a second one finds nothing', async () => {
  const first = await reconcile('--ids', '0')
  assert.equal([first.code, first.errors], [0, ''])
  assert.match(first.output, '1 of 1 were corrected.\n')
  assert.not.match(first.output, expired.id)
  const second = await reconcile('--all')
  assert.equal([second.code, countIn(second.output, 'expired uploads')], [0, '0'])
  assert.match(second.output, '0 of 0 were corrected.\n')
})

test.run()
