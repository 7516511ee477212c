import { once } from 'node:events'
import { existsSync, watch } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { hostname, networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { createClient } from '@millrace/client'
import { usage } from '@millrace/local/options.ts'
import * as assert from 'uvu/assert'
import { allGone } from '../support/process-list.ts'
import { createSandbox, type Sandbox, startWithNode } from '../support/start-millrace.ts'
import { suite } from '../support/suite.ts'

const test = suite('main', {}, { limitMs: 120_000 })
const requestsPerMinute = 20
const { key, entry } = newApiKey('acme', ['uploads:read', 'uploads:write'])
let sandbox: Sandbox
/** The start of the second suite. */
let open: ReturnType<typeof startWithNode>
let port: number
/** An upload of that start. */
let uploadId: string

test.before(async () => {
  sandbox = await createSandbox()
})
test.after(() => sandbox.remove())

const writeSettings = (text: string) => writeFile(join(sandbox.directory, '.env'), text)

/**
 * Runs main.ts until it exits. Asserts that it prints on stderr only and leaves no process.
 * @returns the lines and the exit code
 */
async function startErrors(environment: NodeJS.ProcessEnv) {
  const millrace = startWithNode(sandbox, ['--port', '0'], environment)
  const { code } = await millrace.ended
  assert.is(millrace.output(), '')
  assert.equal(sandbox.processes(), [])
  return { code, lines: millrace.errors().trimEnd().split('\n') }
}

test('--help prints the options', async () => {
  const millrace = startWithNode(sandbox, ['--help'])
  assert.is((await millrace.ended).code, 0)
  assert.equal([millrace.output(), millrace.errors()], [`${usage}\n`, ''])
})

test('wrong settings, also those of .env, are one sentence each before anything is started', async () => {
  const secret = 'tenant/uploads:read/secret'
  await writeSettings(`API_KEYS=${secret}\nQUOTA_BYTES_TOTAL=lots\nFFMPEG=off\n`)
  const { code, lines } = await startErrors({
    PRESETS: '[{"name":"a","variants":[{"name":"b","width":0,"format":"webp"}]}]',
    MAX_IMAGE_PIXELS: 'many',
    FFMPEG: 'not/absolute',
  })
  assert.is(code, 2)
  assert.is(lines.length, 5, lines.join('\n'))
  for (const name of [
    'API_KEYS',
    'QUOTA_BYTES_TOTAL',
    'PRESETS[0].variants[0]',
    'MAX_IMAGE_PIXELS',
    'FFMPEG',
  ]) {
    assert.is(lines.filter((line) => line.startsWith(name)).length, 1, lines.join('\n'))
  }
  assert.not.match(lines.join(), secret)
  assert.not(existsSync(join(sandbox.directory, 'secrets.json')))
})

test('HOST of .env is the address to listen on, HOST of the environment is not, and a missing Redis is an error', async () => {
  const environment = { PATH: '/nonexistent', HOST: 'not-an-address.invalid' }
  await writeSettings('')
  // Listening comes before Redis.
  const { code, lines } = await startErrors(environment)
  assert.equal([code, lines.length], [1, 1], lines.join('\n'))
  assert.match(lines[0] ?? '', /^A Redis server is required but not on PATH.* REDIS_URL /)
  await writeSettings('HOST=192.0.2.1\n')
  assert.equal(await startErrors(environment), {
    code: 1,
    lines: ['192.0.2.1 is not an address of this machine: choose another one with --host.'],
  })
  await rm(join(sandbox.directory, '.env'))
})

test('SIGINT during a start stops every process', async () => {
  // Created when the services are started, which are ready only a second or more later.
  const started = Promise.withResolvers<void>()
  const watcher = watch(sandbox.directory, (_event, name) => {
    if (name === 'logs') started.resolve()
  })
  const millrace = startWithNode(sandbox, ['--port', '0'])
  await started.promise
  watcher.close()
  millrace.signal('SIGINT')
  assert.equal(await millrace.ended, { code: 0, signal: null })
  assert.match(millrace.errors(), /Stopping…\n(?:.*\n)*Stopped\.\n$/)
  assert.equal([millrace.output(), sandbox.processes()], ['', []])
})

/** @returns the status of the response. @param from the address that the client connects from */
async function get(
  path: string,
  { to = '127.0.0.1', from = '127.0.0.1', ...headers }: Record<string, string>,
): Promise<number | undefined> {
  const outgoing = request({ host: to, localAddress: from, port, path, headers, agent: false }).end()
  const [response] = await once(outgoing, 'response')
  for await (const _chunk of response);
  return response.statusCode
}

test.run()

const running = suite('npm start that other machines reach', {}, { limitMs: 120_000 })

running.before(async () => {
  sandbox = await createSandbox()
  open = startWithNode(sandbox, ['--port', '0', '--host', '0.0.0.0'], {
    RATE_LIMIT_PER_ADDRESS_PER_MINUTE: String(requestsPerMinute),
    ALLOWED_HOSTS: 'files.internal',
    OPEN_ADMIN: 'true',
    API_KEYS: entry,
  })
  const { origin, port: text } = new URL(await open.ready)
  port = Number(text)
  uploadId = (await createClient({ origin, apiKey: key }).upload(new Blob(['kept']))).id
})
running.after(() => sandbox.remove())

running('npm start serves its own names and refuses others, with --host too', async () => {
  const own = [
    'localhost',
    '127.0.0.1:3000',
    hostname(),
    `${hostname().split('.')[0]}.local`,
    'files.internal',
  ]
  for (const host of own) assert.is(await get('/health', { host }), 200, host)
  for (const host of own) assert.is(await get('/admin/cluster', { host }), 200, host)
  for (const path of ['/', '/uploads', '/admin/cluster', '/admin/queues', '/docs']) {
    assert.is(
      await get(path, { host: 'rebind.evil.test:3150', origin: 'http://rebind.evil.test:3150' }),
      421,
      path,
    )
  }
  assert.is(await get('/session', { host: '198.51.100.7' }), 421)
})

running('with --host, npm start is reached under each address of the machine', async () => {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
  for (const { address, family } of addresses) {
    if (family !== 'IPv4') continue
    assert.is(await get('/session', { to: address, from: address, host: `${address}:${port}` }), 200, address)
  }
})

running(
  'requests count to the address of the client, not to that of the balancer or of a header',
  async () => {
    const statuses = new Set<number | undefined>()
    for (let sent = 0; sent < 2 * requestsPerMinute; sent += 1) {
      const spoofed = { 'x-forwarded-for': `192.0.2.${sent}`, forwarded: `for=192.0.2.${sent}` }
      statuses.add(await get('/session', { from: '127.0.0.2', host: 'localhost', ...spoofed }))
    }
    assert.equal([...statuses], [200, 429])
    assert.is(await get('/session', { from: '127.0.0.3', host: 'localhost' }), 200)
  },
)

running('after SIGKILL no process remains, and the next start uses the same data', async () => {
  open.signal('SIGKILL')
  await allGone(sandbox.mark)

  await writeSettings('PORT=0\nLOG_LEVEL=silent\n')
  const millrace = startWithNode(sandbox, [], { API_KEYS: entry })
  const url = await millrace.ready
  assert.is((await fetch(new URL('/ready', url))).status, 200)
  const { filename, size } = await createClient({ origin: new URL(url).origin, apiKey: key }).get(uploadId)
  assert.equal([filename, size], ['file', 4])
  for (const page of ['/', '/docs', '/console/fleet']) {
    assert.is((await fetch(new URL(page, url))).status, 200, page)
  }

  const second = startWithNode(sandbox)
  assert.is((await second.ended).code, 1)
  assert.match(
    second.errors(),
    /^Millrace already runs on \S+ \(process \d+\): stop it, or choose another [^\n]+\n$/,
  )

  millrace.signal('SIGTERM')
  assert.equal(await millrace.ended, { code: 0, signal: null })
  assert.equal(sandbox.processes(), [])
  // At any level of the log.
  assert.is(
    millrace.output(),
    `Millrace is ready: ${url}

  Console            ${url}
  API                ${url}
  API documentation  ${url}/docs
  Fleet              ${url}/console/fleet
  Files are kept in  ${sandbox.directory}

Press Ctrl-C to stop. The files are kept.
`,
  )
  assert.is(millrace.errors(), 'Stopping…\nStopped.\n')
})

running.run()
