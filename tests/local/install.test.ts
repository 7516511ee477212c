import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import * as assert from 'uvu/assert'
import { provideOldNode } from '../support/old-node.ts'
import { suite } from '../support/suite.ts'

const local = join(import.meta.dirname, '../../packages/local')
const lock = {
  name: 'checkout',
  lockfileVersion: 3,
  packages: {
    '': { name: 'checkout', dependencies: { 'is-number': '7.0.0' } },
    'node_modules/is-number': {
      version: '7.0.0',
      integrity:
        'sha512-41Cifkg6e8TylSpdtTpeLVMqvSBEVzTttHvERD741+pnZ8ANv0004MRL43QKPDlK9cGvNp6NZWZUBlbGXYxxng==',
    },
  },
}

const test = suite('installation', {}, { limitMs: 60_000 })
let checkout: string

/** A checkout whose only package is not installed, and not in npm's cache. */
test.before(async () => {
  checkout = await mkdtemp(join(tmpdir(), 'millrace-install-'))
  await mkdir(join(checkout, 'packages/local'), { recursive: true })
  for (const file of ['run.mjs', 'install-and-run.mjs', 'install-problem.mjs']) {
    await cp(join(local, file), join(checkout, 'packages/local', file))
  }
  await writeFile(join(checkout, '.node-version'), '24\n')
  await writeFile(join(checkout, 'package.json'), JSON.stringify(lock.packages['']))
  await writeFile(join(checkout, 'package-lock.json'), JSON.stringify(lock))
})

test.after(() => rm(checkout, { recursive: true }))

/** Starts the first half of `npm start` in the checkout. */
function start(registry: string, { program = process.execPath, environment = {} } = {}) {
  const child = spawn(program, ['packages/local/run.mjs'], {
    cwd: checkout,
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {
      ...process.env,
      npm_config_registry: registry,
      npm_config_cache: join(checkout, 'npm-cache'),
      ...environment,
    },
  })
  const ended = Promise.all([once(child, 'close'), text(child.stderr)]).then(([[code], errors]) => ({
    code,
    lines: errors.trimEnd().split('\n'),
  }))
  return { child, ended }
}

const node18 = await provideOldNode(18)
const onNode18 = 'Node 18 is told in one sentence which version is needed'
if (node18 === undefined) test.skip(onNode18, 'there is no Node 18 for this machine')
else {
  test(onNode18, async () => {
    const { code, lines } = await start('', { program: node18 }).ended
    assert.is(code, 1)
    assert.is(lines.length, 1, lines.join('\n'))
    assert.match(lines[0] ?? '', /^Millrace needs Node 20 or later to install itself, and this is Node 18\./)
  })
}

test("a registry that cannot be reached is named in one sentence, with npm's own log", async () => {
  const { code, lines } = await start('http://127.0.0.1:1/').ended
  assert.is(code, 1)
  assert.is(lines.length, 2, lines.join('\n'))
  const [, sentence = ''] = lines
  assert.match(sentence, 'the npm registry http://127.0.0.1:1/ cannot be reached (ECONNREFUSED): check the')
  assert.match(sentence, /npm's log: \S+_logs\S+\.log$/)
})

test('a machine without npm is told where npm comes from', async () => {
  const environment = { PATH: '/nonexistent', npm_execpath: '' }
  const { code, lines } = await start('http://127.0.0.1:1/', { environment }).ended
  assert.is(code, 1)
  assert.is(lines.at(-1), 'npm is not on PATH: install it together with Node from https://nodejs.org.')
})

test('SIGTERM during an installation ends npm as well', async () => {
  const silent = createServer().listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const address = silent.address()
  assert.ok(address && typeof address === 'object')
  const { child, ended } = start(`http://127.0.0.1:${address.port}/`)
  const [connection] = await once(silent, 'connection')
  const closed = once(connection.resume(), 'close')
  child.kill('SIGTERM')
  const { code, lines } = await ended
  await closed
  assert.is(code, 1)
  assert.is(lines.at(-1), 'Stopped before the Node packages were installed.')
  silent.close()
})

test.run()
