import { setTimeout as pause } from 'node:timers/promises'
import { AutoScalingClient } from '@aws-sdk/client-auto-scaling'
import { describeAwsError } from './describe-aws-error.ts'
import { rollOut } from './roll-out.ts'
import { readRolloutRequest } from './rollout-request.ts'

// The step of `npx sst deploy` that rolls a group out (stacks/rollout-step.ts). Its output is shown by SST, its exit code
// decides whether the deploy goes on. Credentials are those of the deploy: environment, AWS_PROFILE, SSO or a role.

/** Attempts of one call: throttling for some two minutes is no reason to fail a deploy. */
const maxAttempts = 12

const print = (line: string) => void process.stdout.write(`${line}\n`)
const planned = readRolloutRequest(process.env['ROLLOUT'])
// For the fix of what raised an alarm: AWS starts no refresh while an alarm of it is on.
const ignoresAlarms = process.env['ROLLOUT_ALARMS'] === 'ignore' && planned.alarms.length > 0
const request = ignoresAlarms ? { ...planned, alarms: [] } : planned
if (ignoresAlarms) {
  print(`${request.group}: no alarm rolls this rollout back, because ROLLOUT_ALARMS is ignore`)
}
const autoScaling = new AutoScalingClient({ region: request.region, maxAttempts })

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.once(signal, () => {
    print(
      `${request.group}: interrupted. A refresh that has started goes on at AWS; the next deploy follows it`,
    )
    process.exit(code)
  })
}

try {
  const { succeeded, message } = await rollOut({ autoScaling, print, now: Date.now, pause }, request)
  print(message)
  process.exitCode = succeeded ? 0 : 1
} catch (error) {
  print(`${request.group}: ${describeAwsError(error)}`)
  process.exitCode = 1
}
