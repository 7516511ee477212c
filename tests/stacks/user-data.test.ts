import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { StartError } from '@millrace/local/setup/start-error.ts'
import { provideProgram, shellcheckProgram } from '@millrace/local/setup/system-programs.ts'
import * as assert from 'uvu/assert'
import { renderUserData, type UserData } from '../../stacks/user-data.ts'
import { suite } from '../support/suite.ts'
import { type BootSandbox, boot as bootIn, bootInSandbox, createBootSandbox } from './boot-sandbox.ts'

const test = suite('user data')

const settings: UserData = {
  tier: 'api',
  image: 'registry.test/millrace/api@sha256:0123',
  environment: { HOST: '0.0.0.0', PORT: '3000', BUCKET: "it's $HOME", PUBLIC_ORIGIN: 'https://files.test' },
  port: 3000,
  logGroup: '/millrace/production/api',
  launchHook: 'launching',
  stopSeconds: 60,
  memoryMiB: 1_792,
}
const script = renderUserData(settings)
/** Each retry costs some processes, and the number of tries is compared by the text of the script. */
const impatientScript = script.replaceAll(/\btry \d+ /g, 'try 2 ')
const secret = "rediss://:p4$$`w0rd`'@redis.test:6379?a=b"
const parameters = `/millrace/production/api/REDIS_URL\\t${secret}\\n/millrace/production/api/SESSION_KEYS\\tAAAA=,BBBB=\\n`

const hookCall = (result: string) =>
  `aws autoscaling complete-lifecycle-action --auto-scaling-group-name millrace-production-api --instance-id i-0abc --lifecycle-hook-name launching --lifecycle-action-result ${result}`
const metadataCalls = (path: string) => [
  'curl -sSf --max-time 5 -X PUT -H X-aws-ec2-metadata-token-ttl-seconds: 60 http://169.254.169.254/latest/api/token',
  `curl -sSf --max-time 5 -H X-aws-ec2-metadata-token: TOKEN http://169.254.169.254/latest/meta-data/${path}`,
]
const health = 'curl -sf --max-time 2 --output /dev/null http://127.0.0.1:3000/health'

/** Calls that may fail briefly. */
const retried = [
  '/latest/api/token$',
  'placement/region$',
  'groupName$',
  'instance-id$',
  'tags/instance/Stage$',
  '^dnf ',
  '^aws ssm ',
  '^aws ecr ',
  '^docker login ',
  '^docker pull ',
  '/health$',
  '^aws autoscaling .*CONTINUE$',
]

type Boot = Awaited<ReturnType<typeof bootInSandbox>>
/** An instance whose calls all succeeded at its boot. */
let instance: BootSandbox
let boot: Boot
/** The boot of an instance whose AMI has no Docker, and whose calls fail twice each. */
let slowBoot: Boot
test.before(async () => {
  instance = await createBootSandbox({ parameters })
  boot = await bootIn(instance, script)
  slowBoot = await bootInSandbox(script, {
    parameters,
    fails: retried.join('|'),
    failsTimes: 2,
    docker: false,
  })
})
test.after(() => instance.close())

test('an instance reads metadata and secrets, pulls the image, starts the service, and is in service once /health responds', () => {
  // Both ends of a pipe start at once, in any order.
  const password = 'aws ecr get-login-password'
  assert.ok(boot.calls.includes(password))
  assert.equal(
    boot.calls.filter((call) => call !== password),
    [
      ...metadataCalls('placement/region'),
      ...metadataCalls('tags/instance/aws:autoscaling:groupName'),
      ...metadataCalls('instance-id'),
      ...metadataCalls('tags/instance/Stage'),
      'systemctl enable --now docker',
      'aws ssm get-parameters-by-path --path /millrace/production/api --with-decryption --query Parameters[].[Name,Value] --output text',
      'docker login --username AWS --password-stdin registry.test',
      'docker pull --quiet registry.test/millrace/api@sha256:0123',
      'systemctl daemon-reload',
      'systemctl enable --now millrace',
      health,
      hookCall('CONTINUE'),
    ],
  )
  assert.is(boot.code, 0)
  assert.is(boot.login, 'REGISTRY-PASSWORD')
  assert.is(boot.secrets, `REDIS_URL=${secret}\nSESSION_KEYS=AAAA=,BBBB=\n`)
  assert.is(
    boot.environment,
    "HOST=0.0.0.0\nPORT=3000\nBUCKET=it's $HOME\nPUBLIC_ORIGIN=https://files.test\nAWS_REGION=eu-west-1\nINSTANCE=i-0abc\nSTAGE=production\n",
  )
  assert.equal(boot.modes, ['700', '600', '600'])
  assert.is(boot.leftovers, undefined)
})

test('systemd runs the service in a confined container, with its log in CloudWatch and no secret in the unit', () => {
  const { unit = '' } = boot
  const command = unit
    .replaceAll('\\\n ', '')
    .match(/^ExecStart=(.*)$/m)?.[1]
    ?.replaceAll(/ +/g, ' ')
  assert.is(
    command,
    '/usr/bin/docker run --name millrace --init --network host --read-only --tmpfs /tmp --user 1000:1000 ' +
      '--cap-drop ALL --security-opt no-new-privileges --ulimit nofile=65536:65536 --memory 1792m ' +
      '--env-file /etc/millrace/environment --env-file /etc/millrace/secrets --stop-timeout 60 ' +
      '--log-driver awslogs --log-opt awslogs-region=eu-west-1 --log-opt awslogs-group=/millrace/production/api ' +
      '--log-opt awslogs-stream=i-0abc --log-opt mode=non-blocking --log-opt max-buffer-size=4m ' +
      'registry.test/millrace/api@sha256:0123',
  )
  for (const line of [
    'Restart=on-failure',
    'StartLimitIntervalSec=0',
    'TimeoutStopSec=70',
    'ExecStop=/usr/bin/docker stop millrace',
  ]) {
    assert.ok(unit.split('\n').includes(line), line)
  }
})

test('an instance installs Docker if the AMI has none', () => {
  const { code, calls } = slowBoot
  assert.is(code, 0)
  assert.is(
    calls.lastIndexOf('dnf install --quiet --assumeyes docker') + 1,
    calls.indexOf('systemctl enable --now docker'),
  )
})

/** Each step of the script that can fail, and a call that fails in it. */
const steps: [name: string, fails: string, docker?: boolean][] = [
  ['reading the stage', 'tags/instance/Stage'],
  ['installing Docker', '^dnf', false],
  ['starting Docker', '^systemctl enable --now docker'],
  ['reading the secrets', '^aws ssm'],
  ['reading the registry password', '^aws ecr'],
  ['logging in to the registry', '^docker login'],
  ['pulling the image', '^docker pull'],
  ['reloading systemd', '^systemctl daemon-reload'],
  ['starting the service', '^systemctl enable --now millrace'],
  ['the health check', '/health$'],
  ['completing the launch', 'CONTINUE$'],
]

for (const [name, fails, docker = true] of steps) {
  test(`an instance logs the reason and then abandons its launch if ${name} fails`, async () => {
    const { code, calls, allCalls, logged } = await bootInSandbox(impatientScript, {
      parameters,
      fails,
      docker,
    })
    assert.is.not(code, 0)
    assert.is(calls.at(-1), hookCall('ABANDON'))
    assert.is(allCalls.at(-1), hookCall('ABANDON'), 'the log is sent before the instance ends')
    const [begun, failure, step] = logged.reduce<string[]>(
      (found, line) => {
        const [, begun = found[0]] = /^[-\dT:]+Z (.*)$/.exec(line) ?? []
        const [, step = found[2]] = /^The boot failed with code [^0].* step: (.*)\.$/.exec(line) ?? []
        return [begun ?? '', line.includes(' "it" failed: ') ? line : (found[1] ?? ''), step ?? '']
      },
      ['', '', ''],
    )
    assert.is(step, begun, 'the last step that began has failed')
    assert.match(failure ?? '', /^\w+: \\ "it" failed: +$/)
    assert.ok(logged.includes('docker: failed to initialize logging driver'), 'the journal')
    assert.is(calls.includes(hookCall('CONTINUE')), fails === 'CONTINUE$')
    assert.is(
      calls.some((call) => new RegExp(fails).test(call)),
      true,
    )
  })
}

test('the log of a boot has its steps and no secret, in the stream of the instance, and on the console', () => {
  const { logged, allCalls, printed } = boot
  const steps = [
    ...['read the instance metadata', 'install Docker', 'start Docker', 'read the secrets', 'pull the image'],
    ...['start the service', 'wait for /health', 'put the instance in service'],
  ]
  assert.equal(
    logged.flatMap((line) => /^[-\dT:]+Z (.*)$/.exec(line)?.[1] ?? []),
    steps,
  )
  const calls = allCalls.filter((call) => call.startsWith('aws logs '))
  const stream = '--log-group-name /millrace/production/api --log-stream-name i-0abc/boot'
  assert.is(calls[0], `aws logs create-log-stream ${stream}`)
  for (const call of calls.slice(1))
    assert.ok(call.startsWith(`aws logs put-log-events ${stream} --log-events [`))
  for (const step of steps) assert.ok(printed.includes(step), step)
  for (const text of [printed, JSON.stringify(logged)]) {
    for (const hidden of [secret, 'REDIS_URL', 'AAAA', 'REGISTRY-PASSWORD', 'TOKEN']) {
      assert.not.ok(text.includes(hidden), hidden)
    }
  }
})

test('a boot that hangs has its steps in the log before the launch hook times out', async () => {
  const instance = await createBootSandbox({ parameters, hangs: '^docker pull' })
  const boot = instance.run(script.replace('read -rt 5 ', 'read -rt 0.05 '))
  await instance.untilCalled(/put-log-events.* pull the image/)
  boot.stop()
  assert.is.not((await boot.exit).code, 0)
  assert.ok((await instance.logged()).some((line) => line.endsWith('step: pull the image.')))
  await instance.close()
})

test('a boot continues without CloudWatch Logs, and the console has the reason of its failure', async () => {
  const without = await bootInSandbox(script, { parameters, fails: '^aws logs' })
  assert.is(without.code, 0)
  const failed = await bootInSandbox(impatientScript, { parameters, fails: '^aws' })
  assert.is.not(failed.code, 0)
  assert.match(failed.printed, /The boot failed with code 1 in this step: read the secrets\.\ndocker: failed/)
})

test('workers have a timer that checks their liveness once they are in service, and the API has none', async () => {
  const files = ['service', 'timer'].map((kind) => `etc/systemd/system/millrace-liveness.${kind}`)
  const enable = 'systemctl enable --now millrace-liveness.timer'
  const instance = await createBootSandbox({ parameters })
  await instance.run(renderUserData({ ...settings, tier: 'worker' })).exit
  const calls = await instance.calls()
  assert.is(calls[calls.indexOf(health) + 1], enable)
  assert.is(boot.calls.includes(enable), false)
  const [service, timer] = await Promise.all(files.map(instance.read))
  assert.match(
    instance.withoutSandbox(service) ?? '',
    'ExecStart=/usr/local/sbin/millrace-instance check_liveness\n',
  )
  // The next check begins when the last one has ended. 6 of them without a response take 90 s.
  assert.match(timer ?? '', 'OnActiveSec=10\nOnUnitInactiveSec=10\nAccuracySec=1\n')
  await instance.close()
})

test('the reason why the service ended is logged, at most once a minute', async () => {
  await instance.forgetCalls()
  const end = (result: string) =>
    instance.runInstalled('report_end', { SERVICE_RESULT: result, EXIT_CODE: 'exited', EXIT_STATUS: '125' })
  await end('success')
  assert.equal(await instance.logged(), [])
  await end('exit-code')
  await end('exit-code')
  assert.equal(await instance.logged(), [
    'The service ended: exit-code, exited, 125.',
    'docker: failed to initialize logging driver',
  ])
  const unit = instance.withoutSandbox(await instance.read('etc/systemd/system/millrace.service'))
  assert.match(String(unit), /^ExecStopPost=-\/usr\/local\/sbin\/millrace-instance report_end$/m)
})

test('an instance that cannot read its own id leaves its launch to the timeout of the hook', async () => {
  for (const fails of ['api/token', 'placement/region', 'groupName$', 'instance-id']) {
    const { code, calls, printed } = await bootInSandbox(impatientScript, { parameters, fails })
    assert.is.not(code, 0)
    assert.is(
      calls.every((call) => call.startsWith('curl ') || call.startsWith('journalctl ')),
      true,
    )
    assert.match(printed, /The boot failed with code 1 in this step: read the instance metadata/)
  }
})

test('an instance retries each step that may fail briefly, for as long as it may', () => {
  const { code, calls } = slowBoot
  assert.is(code, 0)
  // The token is asked for in each try of what needs it, and the registry's password until the image is there.
  const callsEach = { '/latest/api/token$': 14, '^aws ecr ': 5, '^docker login ': 5 }
  assert.equal(
    retried.map((step) => [step, calls.filter((call) => new RegExp(step).test(call)).length]),
    retried.map((step) => [step, Object.entries(callsEach).find(([each]) => each === step)?.[1] ?? 3]),
  )
  assert.equal(
    [...script.matchAll(/\btry (\d+) (\w+ ?[\w/]*)/g)].map(([, times, command]) => `${times} ${command}`),
    [
      ...['5 finish ABANDON', '30 metadata placement/region', '5 metadata tags/instance/aws'],
      ...['5 metadata instance', '5 metadata tags/instance/Stage', '5 dnf install', '10 write_secrets'],
      ...['10 pull_image', '120 curl ', '5 finish CONTINUE'],
    ],
  )
})

test('an instance abandons its launch if there are no secrets', async () => {
  const { code, calls } = await bootInSandbox(impatientScript, { parameters: '' })
  assert.is.not(code, 0)
  assert.is(calls.at(-1), hookCall('ABANDON'))
})

test('user data with a variable of several lines, or above the size limit of EC2, is refused', () => {
  const twoLines = { ...settings, environment: { A: 'b\nSESSION_KEYS=mine' } }
  assert.throws(
    () => renderUserData(twoLines),
    /^The environment variable A has several lines; allowed: one\.$/,
  )
  const large = { ...settings, environment: { A: 'b'.repeat(16_384) } }
  assert.throws(() => renderUserData(large), /allowed: 16384\./)
})

const shellcheck = await provideProgram(shellcheckProgram, console.log).catch((error) => {
  if (error instanceof StartError) return error
  throw error
})
const title = 'ShellCheck finds nothing in the user data of both tiers'
if (shellcheck instanceof StartError) test.skip(title, shellcheck.message)
else {
  test(title, async () => {
    for (const tier of ['api', 'worker'] as const) {
      const checker = spawn(shellcheck, ['-'])
      checker.stdin.end(renderUserData({ ...settings, environment: { PORT: '3000' }, tier }))
      assert.is(await text(checker.stdout), '')
    }
  })
}

test.run()
