import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { startLocalCloud } from '@millrace/local/cloud/local-cloud.ts'
import { startDev } from '@millrace/local/dev.ts'
import { findFreePort, portOf } from '@millrace/local/setup/tcp-port.ts'
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { cookieClient } from '../client/support/cookie-client.ts'
import { processEnvironment } from '../support/process-environment.ts'
import { allGone } from '../support/process-list.ts'
import { createSandbox, type Sandbox } from '../support/start-millrace.ts'
import { suite } from '../support/suite.ts'

const test = suite('sst dev', {}, { limitMs: 120_000 })
const root = join(import.meta.dirname, '../..')
/** Without the developer's own AWS settings, no source gives credentials. */
const noCredentials = {
  AWS_CONFIG_FILE: '/dev/null',
  AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
  AWS_EC2_METADATA_DISABLED: 'true',
}
const Registered = Compile(
  Type.Object({
    dev: Type.Object({ command: Type.String() }),
    environment: Type.Record(Type.String(), Type.String()),
  }),
)
let sandbox: Sandbox
let cloud: Awaited<ReturnType<typeof startLocalCloud>>
/** What stacks/dev.ts registers. */
let command: string
let registered: Record<string, string>
/** What stands for the account: the local cloud, and a port of our own. */
let account: Record<string, string>
let origin: string

/** Stands for SST's component, and keeps what stacks/dev.ts registers. tests/stacks show what the configuration passes to it. */
async function registerCommand(options: object) {
  const found: unknown[] = []
  class DevCommand {
    constructor(_name: string, given: unknown) {
      found.push(given)
    }
  }
  // Its types need those of SST's platform, which is not installed for this test.
  const { createDevCommands }: { createDevCommands(options: object): void } = await import(
    pathToFileURL(join(root, 'stacks/dev.ts')).href
  )
  Object.assign(globalThis, { sst: { x: { DevCommand } } })
  createDevCommands(options)
  Reflect.deleteProperty(globalThis, 'sst')
  assert.is(found.length, 1)
  return Registered.Parse(found[0])
}

test.before(async () => {
  sandbox = await createSandbox()
  const port = String(await findFreePort())
  origin = `http://localhost:${port}`
  cloud = await startLocalCloud({
    directory: join(sandbox.directory, 'cloud'),
    redisUrl: '',
    origins: [origin],
  })
  const { REDIS_URL: _none, ...environment } = cloud.environment
  account = { ...environment, PORT: port, PUBLIC_ORIGIN: origin }
  const run = await registerCommand({
    region: environment.AWS_REGION,
    bucketName: environment.BUCKET,
    queueUrl: environment.EVENTS_QUEUE_URL,
    deadLetterQueueUrl: environment.DEAD_LETTER_QUEUE_URL,
    sessionKeys: randomBytes(32).toString('base64'),
    allowedOrigins: undefined,
    presets: undefined,
  })
  command = run.dev.command
  registered = run.environment
})

test.after(async () => {
  await cloud.close()
  await sandbox.remove()
})

/** Runs the registered command as SST does, with the account's replacements and further changes. */
function runCommand(changes: Record<string, string> = {}) {
  const [name = '', mark] = sandbox.mark.split('=')
  const child = spawn('/bin/sh', ['-c', `exec ${command}`], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...processEnvironment(),
      HOME: sandbox.directory,
      // What SST gives to each command.
      SST_RESOURCE_App: JSON.stringify({ name: 'millrace', stage: 'ada' }),
      ...noCredentials,
      ...registered,
      ...account,
      MILLRACE_DEV_DIRECTORY: join(sandbox.directory, 'dev'),
      [name]: mark,
      ...changes,
    },
  })
  const ready = Promise.withResolvers<void>()
  ready.promise.catch(() => undefined)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
      if (output.includes(`Millrace is ready: ${origin}\n`)) ready.resolve()
    })
  }
  const ended = new Promise<{ code: number | null; output: string }>((resolve) => {
    child.once('close', (code) => resolve({ code, output }))
  })
  ended.then(({ code }) => ready.reject(new Error(`It ended (${code}).\n${output}`)))
  return { ready: ready.promise, ended, kill: () => child.kill('SIGTERM') }
}

test('the registered command ends with one sentence if its port is taken', async () => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  const port = String(portOf(other))
  assert.equal(await runCommand({ PORT: port }).ended, {
    code: 1,
    output: `Port ${port} is taken by another program, perhaps by \`npm start\`: stop it, then start \`npx sst dev\` again. The bucket accepts pages of this port only.\n`,
  })
  other.close()
})

/** Returns the sentence with which a start in this process ends. The SDK reads its variables from the process. */
async function problemOf(changes: Record<string, string>): Promise<string> {
  const environment: Record<string, string> = { ...noCredentials, ...registered, ...account, ...changes }
  const names = Object.keys(environment).filter((name) => name.startsWith('AWS_'))
  const before = Object.fromEntries(names.map((name) => [name, process.env[name]]))
  for (const name of names) process.env[name] = environment[name]
  try {
    const directory = join(sandbox.directory, 'dev')
    await startDev({ environment, directory, print: () => {}, stopping: new AbortController().signal })
    return 'started'
  } catch (error) {
    return String(error)
  } finally {
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  }
}

test('`sst dev` says what it lacks: credentials, those of its account, its bucket, the Redis of REDIS_URL', async () => {
  const problems: string[] = []
  for (const changes of [
    { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '' },
    { AWS_ACCESS_KEY_ID: 'other' },
    { BUCKET: 'other-bucket' },
    { EVENTS_QUEUE_URL: `${account['EVENTS_QUEUE_URL']}-other` },
    { REDIS_URL: 'redis://127.0.0.1:1' },
  ]) {
    problems.push(await problemOf(changes))
  }
  assert.equal(problems, [
    'StartError: There are no AWS credentials (Could not load credentials from any providers): sign in, for example with `aws sso login`, then start `npx sst dev` with the same AWS_PROFILE.',
    `StartError: AWS refuses these credentials for the bucket ${account['BUCKET']}: use those of the account that \`sst dev\` created it in.`,
    'StartError: There is no such thing as the bucket other-bucket: wait until `sst dev` has created it, then start this command again.',
    `StartError: There is no such thing as the queue ${account['EVENTS_QUEUE_URL']}-other: wait until \`sst dev\` has created it, then start this command again.`,
    'StartError: The Redis server of REDIS_URL (127.0.0.1:1) does not respond: connect ECONNREFUSED 127.0.0.1:1. Start it, correct REDIS_URL, or leave it out: then Millrace starts its own.',
  ])
})

test('the registered command serves the console, makes a file ready, and ends with SIGTERM', async () => {
  const dev = runCommand()
  await dev.ready
  const page = await fetch(`${origin}/`, { headers: { accept: 'text/html' } })
  assert.is(page.status, 200)
  assert.match(await page.text(), '<title>Millrace')
  const client = cookieClient(origin)
  await client.api.GET('/session')
  const photo = new Blob([await readFile(join(root, 'tests/fixtures/images/png-linear-grey.png'))], {
    type: 'image/png',
  })
  const { id } = await client.upload(photo, { filename: 'photo.png' })
  const { state, variants } = await client.waitUntilFinished(id)
  assert.equal([state, variants.length], ['ready', 4])

  dev.kill()
  const { code, output } = await dev.ended
  assert.is(code, 0, output)
  assert.match(output, /Stopping…\n(?:.*\n)*Stopped\.\n$/)
  await allGone(sandbox.mark)
})

test.run()
