import * as assert from 'uvu/assert'
import { suite } from '../support/suite.ts'
import { planUploads } from './clients.ts'
import { faultKinds } from './faults.ts'
import { createFiles } from './files.ts'
import { createRandom } from './random.ts'
import { recoveries } from './recovery.ts'
import { makeSchedule } from './schedule.ts'

const test = suite('Plan of a chaos run')
const owners = [{ name: 'anna', key: 'mr_anna' }]
const files = await createFiles()

function plan(seed: number) {
  const random = createRandom(seed)
  const schedule = makeSchedule(random, { windowMs: 60_000, kinds: faultKinds })
  const uploads = planUploads(random, { count: 100, windowMs: 60_000, owners, files })
  return {
    schedule,
    uploads: uploads.map(({ upload, ...rest }) => ({ ...rest, way: upload.way, kind: upload.file.kind })),
  }
}

test('the same seed makes the same faults and uploads', () => {
  assert.equal(plan(5), plan(5))
  assert.not.equal(plan(5), plan(6))
})

test('each round of a schedule has each kind of fault once', () => {
  const { schedule } = plan(5)
  assert.equal(schedule.map(({ kind }) => kind).sort(), faultKinds.toSorted())
})

test('files of one kind differ in their bytes', () => {
  const [one, two] = [files.make('png', 1), files.make('png', 2)]
  assert.not.equal(one.sha256, two.sha256)
  assert.is(one.bytes.length, two.bytes.length)
})

test('the recovery of a fault ends with the last upload that it met', () => {
  const faults = [
    { kind: 'redis-flush', startedAtMs: 1_000, endedAtMs: 2_000, note: undefined },
    { kind: 's3-slow', startedAtMs: 5_000, endedAtMs: 6_000, note: undefined },
    { kind: 's3-slow', startedAtMs: 50_000, endedAtMs: 51_000, note: undefined },
  ] as const
  const uploads = [
    { startedAtMs: 500, finishedAtMs: 4_000 },
    { startedAtMs: 1_500, finishedAtMs: 9_000 },
    { startedAtMs: 52_000, finishedAtMs: 90_000 },
    { startedAtMs: 45_000, finishedAtMs: Number.POSITIVE_INFINITY },
  ]
  assert.equal(recoveries(faults, uploads), [
    { kind: 'redis-flush', injected: 1, recovered: 1, longestMs: 7_000, longestAloneMs: 2_000 },
    { kind: 's3-slow', injected: 2, recovered: 1, longestMs: 3_000, longestAloneMs: 3_000 },
  ])
})

test.run()
