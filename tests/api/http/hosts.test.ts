import { createKnownHosts } from '@millrace/api/http/known-hosts.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { openConnection } from '../../support/raw-connection.ts'
import { suite } from '../../support/suite.ts'

const test = suite('hosts')
const problem = Compile(Problem)
let api: ApiInstances
let port: number

test.before(async () => {
  api = await startApiInstances({
    environment: {
      PUBLIC_ORIGIN: 'https://Files.example:8443',
      ALLOWED_HOSTS: 'stateless-app,192.0.2.7:3000',
      OPEN_ADMIN: 'true',
    },
  })
  port = Number(new URL(api.url).port)
})
test.after(() => api.close())

/** Sends a request as text, without its last lines. @returns its status, and the code of its problem */
async function send(head: string, request = head) {
  const connection = await openConnection(port)
  connection.send(`${request}\r\nconnection: close\r\n\r\n`)
  const [headers = '', body = ''] = (await connection.closed).split('\r\n\r\n')
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(headers)?.[1])
  if (status < 400) return { status, code: undefined }
  assert.match(headers, /^content-type: application\/problem\+json/im)
  return { status, code: problem.Parse(JSON.parse(body)).code }
}
const get = (path: string, host: string) => send(`GET ${path} HTTP/1.1\r\nhost: ${host}`)

const own = [
  'files.example:8443',
  'files.example',
  'FILES.EXAMPLE:443',
  'files.example.:8443',
  'stateless-app:3000',
  'stateless-app',
  '192.0.2.7:3000',
  '192.0.2.7',
  'localhost',
  'localhost:1',
  'LocalHost.:3000',
  'console.localhost:3000',
  '127.0.0.1',
  '127.0.0.1:3000',
  '127.8.9.10',
  '[::1]',
  '[::1]:3000',
  '[0:0:0:0:0:0:0:1]:3000',
]
const foreign = [
  'rebind.evil.test:3150',
  'rebind.evil.test',
  'evil.files.example',
  'files.example.evil.test',
  'xfiles.example',
  'localhost.evil.test',
  'evil-localhost',
  '.localhost',
  '127.0.0.1.evil.test',
  '127.1',
  '0.0.0.0:3000',
  '192.0.2.8',
  '[::2]',
  '[::1',
  '[::1].evil.test',
  'files.example:x',
  'files.example:1:2',
  'evil.test@files.example',
  'files.example@evil.test',
  'files.example/',
  'files.example, evil.test',
  'files.example evil.test',
  '*',
  'ümlaut',
]

test('requests to the names of the API are served', async () => {
  for (const host of own) assert.is((await get('/session', host)).status, 200, host)
})

test('requests to other names get 421 host_unknown on every route, also without a route and for /admin', async () => {
  for (const host of foreign)
    assert.equal(await get('/session', host), { status: 421, code: 'host_unknown' }, host)
  for (const path of ['/', '/nowhere', '/admin/cluster', '/openapi.json', '/tus/x', '/uploads']) {
    assert.equal(await get(path, 'rebind.evil.test:3150'), { status: 421, code: 'host_unknown' }, path)
  }
  const write =
    'POST /uploads HTTP/1.1\r\nhost: rebind.evil.test:3150\r\norigin: http://rebind.evil.test:3150'
  assert.equal(await send(`${write}\r\ncontent-length: 0`), { status: 421, code: 'host_unknown' })
})

test('load balancers may ask /health and /ready under any name', async () => {
  for (const path of ['/health', '/ready']) assert.is((await get(path, '10.0.3.7:3000')).status, 200, path)
})

test('a request with two Host headers, or without a host, is 400', async () => {
  const bad = { status: 400, code: 'invalid_request' }
  for (const path of ['/session', '/health']) {
    for (const headers of [
      'host: localhost\r\nhost: localhost',
      'host: localhost\r\nHOST: evil.test',
      'host:',
      'x: y',
    ]) {
      assert.equal(await send(`GET ${path} HTTP/1.1\r\n${headers}`), bad, headers)
    }
    assert.equal(await send(`GET ${path} HTTP/1.0\r\nhost: localhost\r\nhost: localhost`), bad)
  }
})

test('HTTP/1.0 needs no Host, but a foreign one is refused', async () => {
  assert.is((await send('GET /session HTTP/1.0\r\nx: y')).status, 200)
  assert.equal(await send('GET /session HTTP/1.0\r\nhost: evil.test'), { status: 421, code: 'host_unknown' })
})

test('the host of an absolute request target counts instead of the Host header', async () => {
  const foreignHost = { status: 421, code: 'host_unknown' }
  assert.equal(await send('GET http://evil.test/session HTTP/1.1\r\nhost: localhost'), foreignHost)
  assert.equal(await send('GET http://evil.test:3000/session HTTP/1.0'.concat('\r\nx: y')), foreignHost)
  assert.is((await send('GET http://localhost:3000/session HTTP/1.1\r\nhost: evil.test')).status, 200)
  assert.equal(await send('OPTIONS * HTTP/1.1\r\nhost: evil.test'), foreignHost)
})

test('the address that a connection was made to is a name of the API', () => {
  const isKnown = createKnownHosts({ publicOrigin: 'http://localhost:3000', allowedHosts: [] })
  assert.ok(isKnown('192.168.1.5:3000', { localAddress: '192.168.1.5' }))
  assert.ok(isKnown('192.168.1.5:3000', { localAddress: '::ffff:192.168.1.5' }))
  assert.ok(isKnown('[2001:db8:0:0::5]:3000', { localAddress: '2001:db8::5' }))
  assert.ok(isKnown('[fe80::5]', { localAddress: 'fe80::5%eth0' }))
  assert.not(isKnown('192.168.1.6:3000', { localAddress: '192.168.1.5' }))
  assert.not(isKnown('evil.test', { localAddress: 'evil.test' }))
  assert.not(isKnown('192.168.1.5', { localAddress: undefined }))
})

test.run()
