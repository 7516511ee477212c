import { AutoScalingClient, type InstanceRefresh } from '@aws-sdk/client-auto-scaling'
import * as assert from 'uvu/assert'
import { followRefresh } from '../../stacks/rollout/follow-refresh.ts'
import { suite } from '../support/suite.ts'

const test = suite('following a refresh')
const minuteMs = 60_000

/** Follows a refresh that is looked at once a minute. @param looks what AWS says at each look; the last one stays */
async function follow(looks: readonly Partial<InstanceRefresh>[], limitMinutes = 60) {
  const autoScaling = new AutoScalingClient({
    region: 'us-east-1',
    credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
  })
  let minute = 0
  autoScaling.middlewareStack.add(
    () => async () => {
      const refresh = looks[Math.min(minute, looks.length - 1)]
      const output = { $metadata: {}, InstanceRefreshes: refresh === undefined ? [] : [refresh] }
      return { response: {}, output }
    },
    { step: 'initialize' },
  )
  const lines: string[] = []
  const followed = await followRefresh(
    {
      autoScaling,
      print: (line) => lines.push(line),
      now: () => minute * minuteMs,
      async pause(ms) {
        assert.is(ms, minuteMs)
        minute += 1
        assert.ok(minute <= 100, 'it ends')
      },
    },
    { group: 'api', id: 'refresh-1', pollMs: minuteMs, until: limitMinutes * minuteMs },
  ).finally(() => autoScaling.destroy())
  return { status: followed.Status, lines, minute }
}

test('progress is printed in steps of ten percent, and again after five minutes without any, with the reason of AWS', async () => {
  const waiting = { Status: 'InProgress', StatusReason: 'Waiting for instances to warm up.' } as const
  const { status, lines } = await follow([
    { Status: 'Pending', StatusReason: 'Not started.' },
    { ...waiting, PercentageComplete: 3 },
    // From the second to the sixth minute.
    ...[4, 5, 6, 7, 9].map((PercentageComplete) => ({ ...waiting, PercentageComplete })),
    { ...waiting, PercentageComplete: 10 },
    {
      Status: 'RollbackInProgress',
      RollbackDetails: { RollbackReason: 'An alarm is on', PercentageCompleteOnRollback: 59 },
    },
    { Status: 'RollbackInProgress', RollbackDetails: { PercentageCompleteOnRollback: 60 } },
    { Status: 'Cancelling' },
    { Status: 'Baking' },
    { Status: 'RollbackSuccessful' },
  ])
  assert.is(status, 'RollbackSuccessful')
  assert.equal(lines, [
    'api: the refresh begins',
    'api: replaced 0 % of the instances',
    'api: replaced 0 % of the instances (Waiting for instances to warm up.)',
    'api: replaced 10 % of the instances',
    'api: rolled back 50 % of the instances: An alarm is on.',
    'api: rolled back 60 % of the instances: AWS gave no reason.',
    'api: the refresh is being cancelled',
    'api: the refresh is Baking',
  ])
})

test('a refresh is followed until it has ended, however it ends', async () => {
  for (const Status of [
    'Successful',
    'Failed',
    'Cancelled',
    'RollbackSuccessful',
    'RollbackFailed',
  ] as const) {
    const { status, minute } = await follow([{ Status: 'InProgress' }, { Status }])
    assert.equal([status, minute], [Status, 1])
  }
})

test('a refresh is returned as it is when the time is over, and one that AWS does not know any more is an error', async () => {
  const { status, minute } = await follow([{ Status: 'InProgress' }], 3)
  assert.equal([status, minute], ['InProgress', 3])
  const error: unknown = await follow([]).catch((thrown: unknown) => thrown)
  assert.match(String(error), 'Auto Scaling does not know the refresh refresh-1 of api any more.')
})

test.run()
