import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { startLocalCloud } from '@millrace/local/cloud/local-cloud.ts'
import { findFreePort, portOf } from '@millrace/local/setup/tcp-port.ts'
import * as assert from 'uvu/assert'
import { cookieClient } from '../client/support/cookie-client.ts'
import { at, ofType } from '../stacks/find.ts'
import { buildCloud, bundleConfig } from '../support/mock-cloud.ts'
import { allGone } from '../support/process-list.ts'
import { createSandbox, type Sandbox } from '../support/start-millrace.ts'
import { suite } from '../support/suite.ts'

const test = suite('sst dev')
const root = join(import.meta.dirname, '../..')
/** Without the developer's own AWS settings, no source gives credentials. */
const noCredentials = {
  AWS_CONFIG_FILE: '/dev/null',
  AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
  AWS_EC2_METADATA_DISABLED: 'true',
}
let sandbox: Sandbox
let cloud: Awaited<ReturnType<typeof startLocalCloud>>
/** What stacks/dev.ts registers. */
let command: string
let registered: Record<string, string>
/** What stands for the account: the local cloud, and a port of our own. */
let account: Record<string, string>
let origin: string

test.before(async () => {
  sandbox = await createSandbox()
  await bundleConfig()
  const [run, ...others] = ofType(await buildCloud({ stage: 'ada', dev: true }), 'sst:sst:DevCommand')
  if (!run || others.length > 0) throw new Error('sst dev runs more than one command.')
  command = String(at(run.outputs['_dev'], 'command'))
  registered = Object.fromEntries(
    Object.entries(at(run.outputs['_dev'], 'environment') ?? {}).map(([name, value]) => [
      name,
      String(value),
    ]),
  )
  const port = String(await findFreePort())
  origin = `http://localhost:${port}`
  cloud = await startLocalCloud({
    directory: join(sandbox.directory, 'cloud'),
    redisUrl: '',
    origins: [origin],
  })
  const { REDIS_URL: _none, ...environment } = cloud.environment
  account = { ...environment, PORT: port, PUBLIC_ORIGIN: origin }
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
      PATH: process.env['PATH'],
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

test('`sst dev` says what it lacks: its port, credentials, the Redis of REDIS_URL', async () => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  const port = String(portOf(other))
  for (const [changes, sentence] of [
    [{ PORT: port }, `Port ${port} is taken by another program, perhaps by \`npm start\`: stop it`],
    [
      { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '' },
      'There are no AWS credentials (Could not load credentials from any providers): sign in',
    ],
    [{ AWS_ACCESS_KEY_ID: 'other' }, `AWS refuses these credentials for the bucket ${account['BUCKET']}`],
    [{ BUCKET: 'other-bucket' }, 'There is no such thing as the bucket other-bucket: wait until'],
    [{ REDIS_URL: 'redis://127.0.0.1:1' }, 'The Redis server of REDIS_URL (127.0.0.1:1) does not respond'],
  ] as const) {
    const { code, output } = await runCommand(changes).ended
    // One sentence, without a stack trace.
    assert.equal([code, output.includes(sentence), output.split('\n').length], [1, true, 2], output)
  }
  other.close()
})

test('the registered command serves the console, makes a file ready, and ends with SIGTERM', async () => {
  const dev = runCommand()
  await dev.ready
  const page = await fetch(`${origin}/`, { headers: { accept: 'text/html' } })
  assert.is(page.status, 200)
  assert.match(await page.text(), '<title>')
  const client = cookieClient(origin)
  await client.api.GET('/session')
  const photo = new Blob([await readFile(join(root, 'tests/fixtures/images/png-linear-grey.png'))], {
    type: 'image/png',
  })
  const { id } = await client.upload(photo, { filename: 'photo.png' })
  const { state, variants } = await client.waitUntilFinished(id)
  assert.is(state, 'ready')
  assert.ok(variants.length > 0)

  dev.kill()
  const { code, output } = await dev.ended
  assert.is(code, 0, output)
  assert.match(output, 'Stopped.')
  await allGone(sandbox.mark)
})

test.run()
