import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { AutoScalingClient } from '@aws-sdk/client-auto-scaling'
import * as assert from 'uvu/assert'
import { rollOut } from '../../stacks/rollout/roll-out.ts'
import {
  type RolloutRequest,
  type RolloutTarget,
  readRolloutRequest,
} from '../../stacks/rollout/rollout-request.ts'
import { root } from '../support/sst-platform.ts'
import { suite } from '../support/suite.ts'
import { type AutoScalingServer, startAutoScalingServer } from './support/auto-scaling-server.ts'

const test = suite('rollout')
const api = 'millrace-production-api'
const worker = 'millrace-production-worker'
let server: AutoScalingServer

test.before.each(async () => {
  server = await startAutoScalingServer()
})
test.after.each(() => server.close())

const version = (number: number) => ({ LaunchTemplateId: 'lt-1', Version: String(number) })
const apiTarget = (number: number) => ({ LaunchTemplate: version(number) })
const workerTarget = (number: number, types = ['c7g.large', 'c6g.large'], onDemandBase = 1) => ({
  MixedInstancesPolicy: {
    LaunchTemplate: {
      LaunchTemplateSpecification: version(number),
      Overrides: types.map((InstanceType) => ({ InstanceType })),
    },
    InstancesDistribution: {
      OnDemandBaseCapacity: onDemandBase,
      OnDemandPercentageAboveBaseCapacity: 0,
      SpotAllocationStrategy: 'price-capacity-optimized',
    },
  },
})
/** As the server saves it: all numbers are text in AWS Query. */
const savedWorker = (number: number, types?: string[]) => ({
  MixedInstancesPolicy: {
    ...workerTarget(number, types).MixedInstancesPolicy,
    InstancesDistribution: {
      OnDemandBaseCapacity: '1',
      OnDemandPercentageAboveBaseCapacity: '0',
      SpotAllocationStrategy: 'price-capacity-optimized',
    },
  },
})

function requestFor(
  group: string,
  target: RolloutTarget,
  changes: Partial<RolloutRequest> = {},
): RolloutRequest {
  return {
    region: 'us-east-1',
    group,
    groupArn: `arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:1:autoScalingGroupName/${group}`,
    target,
    warmupSeconds: 60,
    alarms: ['millrace-production-api-errors'],
    pollSeconds: 0,
    waitMinutes: 60,
    limitMinutes: 180,
    ...changes,
  }
}

/** Rolls out in this process. `now` advances by a minute with each pause. */
async function run(group: string, target: RolloutTarget, changes: Partial<RolloutRequest> = {}) {
  const lines: string[] = []
  const pauses: number[] = []
  let minutes = 0
  const autoScaling = new AutoScalingClient({
    region: 'us-east-1',
    endpoint: server.endpoint,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  })
  try {
    const result = await rollOut(
      {
        autoScaling,
        print: (line) => lines.push(line),
        now: () => minutes * 60_000,
        pause: async (ms) => {
          pauses.push(ms)
          minutes += 1
        },
      },
      requestFor(group, target, changes),
    )
    return { ...result, lines, pauses }
  } finally {
    autoScaling.destroy()
  }
}

/** Starts the step as `npx sst deploy` does. */
function startStep(group: string, target: RolloutTarget, environment: Record<string, string> = {}) {
  const child = spawn('node_modules/.bin/node', ['stacks/rollout/main.ts'], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      ROLLOUT: JSON.stringify(requestFor(group, target)),
      AWS_ENDPOINT_URL_AUTO_SCALING: server.endpoint,
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      ...environment,
    },
  })
  const ended = Promise.all([once(child, 'close'), text(child.stdout), text(child.stderr)])
  return {
    kill: (signal: NodeJS.Signals) => child.kill(signal),
    ended: ended.then(([[code, signal], output, errors]) => ({ code, signal, output, errors })),
  }
}

test('a rollout replaces all instances and prints its progress', async () => {
  server.addGroup(api, apiTarget(1), 4)
  const { succeeded, message, lines } = await run(api, apiTarget(2))
  assert.ok(succeeded)
  assert.is(message, `${api}: runs version 2`)
  assert.equal(server.versions(api), ['2', '2', '2', '2'])
  assert.match(lines[0] ?? '', /started the refresh refresh-1 to version 2\. AWS continues it/)
  assert.equal(
    lines.slice(1).map((line) => line.replace(`${api}: `, '')),
    [0, 20, 50, 70, 100].map((percent) => `replaced ${percent} % of the instances`),
  )
})

test('a refresh gets the desired configuration and the preferences of a safe rollout', async () => {
  server.addGroup(worker, savedWorker(1), 1)
  await run(worker, workerTarget(2))
  assert.equal(server.inputsOf('StartInstanceRefresh'), [
    {
      AutoScalingGroupName: worker,
      Strategy: 'Rolling',
      DesiredConfiguration: savedWorker(2),
      Preferences: {
        MinHealthyPercentage: '100',
        MaxHealthyPercentage: '150',
        InstanceWarmup: '60',
        SkipMatching: 'true',
        AutoRollback: 'true',
        ScaleInProtectedInstances: 'Refresh',
        AlarmSpecification: { Alarms: ['millrace-production-api-errors'] },
      },
    },
  ])
})

test('a bad version is rolled back to the version that ran before, and the rollout fails with the reason of AWS', async () => {
  const group = server.addGroup(api, apiTarget(1), 3)
  server.badVersions.set('2', 'CloudWatch alarm millrace-production-api-errors is in ALARM state')
  const { succeeded, message, lines } = await run(api, apiTarget(2))
  assert.not.ok(succeeded)
  assert.is(
    message,
    `${api}: The rollout of version 2 failed, and AWS rolled it back: CloudWatch alarm millrace-production-api-errors is in ALARM state. Now running: 3 instances of version 1; new instances get version 1.`,
  )
  assert.equal(server.versions(api), ['1', '1', '1'])
  assert.equal(group.saved, apiTarget(1))
  assert.ok(lines.some((line) => line.includes('rolled back 0 % of the instances: CloudWatch alarm')))

  // The fix of a bad version, and another attempt at the same version, are rollouts again.
  assert.ok((await run(api, apiTarget(3))).succeeded)
  assert.not.ok((await run(api, apiTarget(2))).succeeded)
  assert.equal(server.versions(api), ['3', '3', '3'])
})

test('a rollback that fails, and a rollout without a rollback, say which versions run', async () => {
  server.addGroup(api, apiTarget(1), 2)
  server.badVersions.set('2', 'Instances did not get healthy')
  server.failRollbacks()
  assert.match(
    (await run(api, apiTarget(2))).message,
    /failed, and so did its rollback: Instances did not get healthy\./,
  )

  server.addGroup(worker, savedWorker(1), 3)
  const refresh = server.startRefresh(worker, savedWorker(2))
  refresh.preferences['AutoRollback'] = 'false'
  const { succeeded, message } = await run(worker, workerTarget(2))
  assert.not.ok(succeeded)
  assert.match(message, 'failed, and was not rolled back: Instances did not get healthy. Now running:')
  assert.match(message, '1 instance of version 2, 2 instances of version 1; new instances get version 1.')
})

test('a rollout that somebody cancels fails', async () => {
  server.addGroup(api, apiTarget(1), 2)
  const polls = server.hold('DescribeInstanceRefreshes')
  const rollout = run(api, apiTarget(2))
  await polls.arrived
  const poll = server.hold('DescribeInstanceRefreshes')
  polls.release()
  await poll.arrived
  const [refresh] = server.refreshes
  if (refresh) Object.assign(refresh, { status: 'Cancelled', reason: 'Cancelled by user ada' })
  poll.release()
  const { succeeded, message } = await rollout
  assert.not.ok(succeeded)
  assert.match(message, 'version 2 was cancelled, and not rolled back: Cancelled by user ada. Now running: 2')
})

test('nothing is started if all instances run the target, as after the creation of a group', async () => {
  server.addGroup(api, apiTarget(1), 2)
  server.addGroup(worker, savedWorker(1), 2)
  assert.ok((await run(api, apiTarget(1))).succeeded)
  assert.ok((await run(worker, workerTarget(1))).succeeded)
  assert.equal(server.refreshes, [])
})

test('an instance of another version, other instance types and another share of Spot are rolled out', async () => {
  const apiGroup = server.addGroup(api, apiTarget(2), 2)
  apiGroup.instances[0] = { id: 'i-1', type: 't4g.small', template: version(1) }
  assert.ok((await run(api, apiTarget(2))).succeeded)
  assert.equal(server.versions(api), ['2', '2'])

  const workers = server.addGroup(worker, savedWorker(1), 2)
  assert.ok((await run(worker, workerTarget(1, ['m7g.large', 'm6g.large']))).succeeded)
  assert.equal(
    workers.instances.map(({ type }) => type),
    ['m7g.large', 'm7g.large'],
  )
  assert.ok((await run(worker, workerTarget(1, ['m7g.large', 'm6g.large'], 2))).succeeded)
  // The policy has been saved, but an instance is older.
  workers.instances[1] = { id: 'i-2', type: 'c5.large', template: version(1) }
  assert.ok((await run(worker, workerTarget(1, ['m7g.large', 'm6g.large'], 2))).succeeded)
  assert.is(server.refreshes.length, 4)
})

test('a group that had one instance type is rolled out to several', async () => {
  server.addGroup(worker, apiTarget(1), 2)
  const { succeeded, message } = await run(worker, workerTarget(2))
  assert.equal([succeeded, message], [true, `${worker}: runs version 2`])
  assert.equal(server.versions(worker), ['2', '2'])
})

test('a group without instances gets the new version for its next ones', async () => {
  const group = server.addGroup(worker, savedWorker(1), 0)
  assert.ok((await run(worker, workerTarget(2))).succeeded)
  assert.equal(group.saved, savedWorker(2))
})

test('a group with suspended processes is refused instead of waiting for AWS to give up', async () => {
  server.addGroup(api, apiTarget(1), 2).suspended.push('AZRebalance', 'Launch')
  const { succeeded, message } = await run(api, apiTarget(2))
  assert.not.ok(succeeded)
  assert.match(message, 'Its processes Launch are suspended')
  assert.match(message, `aws autoscaling resume-processes --auto-scaling-group-name ${api}`)
  assert.equal(server.refreshes, [])
})

test('a group that does not exist is named', async () => {
  const { succeeded, message } = await run(api, apiTarget(2))
  assert.not.ok(succeeded)
  assert.match(message, `${api}: There is no such Auto Scaling group.`)
})

test('a refresh to another version is waited for, even one that fails, and then the rollout starts', async () => {
  server.addGroup(api, apiTarget(1), 2)
  server.badVersions.set('2', 'Instances did not get healthy')
  server.startRefresh(api, apiTarget(2))
  const { succeeded, lines } = await run(api, apiTarget(3))
  assert.ok(succeeded)
  assert.match(lines[0] ?? '', `${api}: waits for another refresh, refresh-1, up to 60 minutes`)
  assert.equal(server.versions(api), ['3', '3'])
})

test('a refresh to another version that does not end is reported after the time limit', async () => {
  server.addGroup(api, apiTarget(1), 50)
  server.startRefresh(api, apiTarget(2))
  const { succeeded, message } = await run(api, apiTarget(3), { waitMinutes: 10 })
  assert.not.ok(succeeded)
  assert.match(
    message,
    'Another refresh, refresh-1, is still running after 10 minutes. Version 3 was not rolled out',
  )
  assert.is(server.refreshes.length, 1)
})

test('a rollout that does not end is reported after the time limit, with the last reason of AWS', async () => {
  server.addGroup(api, apiTarget(1), 1_000)
  const rollout = run(api, apiTarget(2), { limitMinutes: 20 })
  const { succeeded, message, lines } = await rollout
  assert.not.ok(succeeded)
  assert.match(message, 'The rollout of version 2 is still InProgress after 20 minutes')
  assert.match(message, 'Deploy again to follow it.')
  // Twenty looks, of which those after 5, 10, 15 and 20 minutes are printed although nothing changed.
  assert.is(lines.length, 6)
})

test('a refresh that begins between the look and the start is waited for', async () => {
  server.addGroup(api, apiTarget(1), 2)
  const look = server.hold('DescribeAutoScalingGroups')
  const rollout = run(api, apiTarget(3))
  await look.arrived
  server.startRefresh(api, apiTarget(2))
  look.release()
  const { succeeded, lines } = await rollout
  assert.ok(succeeded)
  assert.match(lines[0] ?? '', 'waits for another refresh, refresh-1')
  assert.equal(server.versions(api), ['3', '3'])
})

/** AWS refuses so many starts because a refresh is in progress, which is not listed yet. */
function refuseStarts(count: number): void {
  const error = { action: 'StartInstanceRefresh', code: 'InstanceRefreshInProgress', message: 'in progress' }
  for (let n = 0; n < count; n++) server.errors.push(error)
}

test('looks at a refresh, and attempts to start one, are pollSeconds apart', async () => {
  server.addGroup(api, apiTarget(1), 2)
  refuseStarts(2)
  const { succeeded, pauses } = await run(api, apiTarget(2), { pollSeconds: 15 })
  assert.ok(succeeded)
  assert.ok(pauses.length > 2)
  assert.equal([...new Set(pauses)], [15_000])
})

test('a rollout that AWS does not start because of other refreshes ends after the time to wait for them', async () => {
  server.addGroup(api, apiTarget(1), 2)
  refuseStarts(5)
  const { succeeded, message, pauses } = await run(api, apiTarget(2), { waitMinutes: 3 })
  assert.not.ok(succeeded)
  assert.is(message, `${api}: Other refreshes start again and again. Deploy again later.`)
  assert.is(pauses.length, 3)
  assert.equal(server.refreshes, [])
})

test('a step without its request names the variable, and a field that the request does not have is refused', () => {
  assert.throws(() => readRolloutRequest(undefined), /ROLLOUT is missing/)
  const request = requestFor(api, apiTarget(2))
  assert.equal(readRolloutRequest(JSON.stringify(request)), request)
  assert.throws(() => readRolloutRequest(JSON.stringify({ ...request, alarm: 'errors' })), /^Parse$/)
})

test('throttled calls are repeated, and a refused start ends the step with the words of AWS', async () => {
  server.addGroup(api, apiTarget(1), 1)
  for (const action of ['StartInstanceRefresh', 'DescribeInstanceRefreshes']) {
    server.errors.push({ action, code: 'Throttling', message: 'Rate exceeded' })
  }
  const first = await startStep(api, apiTarget(2)).ended
  assert.equal([first.code, first.errors], [0, ''])
  assert.match(first.output, `${api}: runs version 2\n`)
  assert.is(server.refreshes.length, 1)

  server.errors.push({
    action: 'StartInstanceRefresh',
    code: 'ValidationError',
    message: 'The alarm millrace-production-api-errors is in ALARM state',
  })
  const second = await startStep(api, apiTarget(3)).ended
  assert.equal([second.code, second.errors], [1, ''])
  assert.match(
    second.output,
    'could not be called: The alarm millrace-production-api-errors is in ALARM state.',
  )
  assert.match(second.output, 'Deploy again.')

  const withoutAlarms = await startStep(api, apiTarget(3), { ROLLOUT_ALARMS: 'ignore' }).ended
  assert.is(withoutAlarms.code, 0)
  assert.match(
    withoutAlarms.output,
    `${api}: no alarm rolls this rollout back, because ROLLOUT_ALARMS is ignore`,
  )
  const preferences = server.inputsOf('StartInstanceRefresh').at(-1)?.['Preferences']
  assert.not.match(JSON.stringify(preferences), 'AlarmSpecification')

  server.errors.push({
    action: 'DescribeInstanceRefreshes',
    code: 'ExpiredToken',
    message: 'The security token included in the request is expired',
  })
  const third = await startStep(api, apiTarget(3)).ended
  assert.is(third.code, 1)
  assert.match(third.output, 'A refresh that has started goes on at AWS. Renew the credentials')
})

test('a step that was killed or interrupted is followed by the next one, which starts no second refresh', async () => {
  server.addGroup(api, apiTarget(1), 2)
  server.badVersions.set('2', 'Instances did not get healthy')
  const start = server.hold('StartInstanceRefresh')
  const killed = startStep(api, apiTarget(2))
  await start.arrived
  start.release()
  const poll = server.hold('DescribeInstanceRefreshes')
  await poll.arrived
  killed.kill('SIGKILL')
  assert.is((await killed.ended).signal, 'SIGKILL')
  poll.release()

  const look = server.hold('DescribeInstanceRefreshes')
  const interrupted = startStep(api, apiTarget(2))
  await look.arrived
  interrupted.kill('SIGINT')
  const { code, output } = await interrupted.ended
  look.release()
  assert.is(code, 130)
  assert.match(output, 'interrupted. A refresh that has started goes on at AWS; the next deploy follows it')

  const next = await startStep(api, apiTarget(2)).ended
  assert.is(next.code, 1)
  assert.match(
    next.output,
    `${api}: follows the refresh refresh-1 to version 2, which an earlier deploy started`,
  )
  assert.match(next.output, 'failed, and AWS rolled it back: Instances did not get healthy.')
  assert.equal(server.versions(api), ['1', '1'])
  assert.is(server.refreshes.length, 1)
})

test.run()
