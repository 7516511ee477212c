import { createHttp } from '@millrace/api/http/http.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { openConnection } from '../../support/raw-connection.ts'
import { suite } from '../../support/suite.ts'

const test = suite('limits of requests')
const problem = Compile(Problem)

/** Starts a server with routes that tell what of a request arrived, and some that fail. */
async function start(trustedProxies: string[] = []) {
  const { app, protect } = createHttp({
    log: createLog({ level: 'silent', instance: 'test' }),
    countProblem: () => undefined,
    config: {
      ...{ headersTimeoutMs: 10_000, uploadIdleTimeoutMs: 10_000, trustedProxies, proxyProtocol: false },
      ...{ publicOrigin: 'http://localhost:3000', publicPath: '', allowedHosts: [], allowedOrigins: [] },
    },
  })
  await protect({ secure: false })
  app.get('/address', async ({ ip }) => ({ ip }))
  app.get('/names/:name', { schema: { params: Type.Object({ name: Type.String() }) } }, async (request) => ({
    length: request.params.name.length,
  }))
  app.post('/bodies', { schema: { body: Type.Object({ text: Type.String() }) } }, async ({ body }) => ({
    length: body.text.length,
  }))
  app.get('/overloaded', async () => {
    throw new AppError('overloaded')
  })
  app.get('/fails/:statusCode', async (request) => {
    const statusCode = Number(/\d+$/.exec(request.url)?.[0])
    throw Object.assign(new Error('connect redis.internal:6379 as admin'), { statusCode })
  })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  return { app, port: Number(new URL(url).port) }
}

test('a JSON body may have 64 KiB, and not a byte more', async () => {
  const { app } = await start()
  const post = (bytes: number) => {
    const frame = JSON.stringify({ text: '' }).length
    const payload = JSON.stringify({ text: 'x'.repeat(bytes - frame) })
    return app.inject({
      method: 'POST',
      url: '/bodies',
      headers: { 'content-type': 'application/json' },
      payload,
    })
  }
  const largest = await post(64 * 1024)
  assert.equal([largest.statusCode, largest.json()], [200, { length: 64 * 1024 - 11 }])
  const larger = await post(64 * 1024 + 1)
  assert.equal([larger.statusCode, problem.Parse(larger.json()).code], [413, 'body_too_large'])
  await app.close()
})

test('a path parameter may have 256 characters, and a path with a longer one is refused', async () => {
  const { app } = await start()
  const get = async (length: number) => (await app.inject(`/names/${'x'.repeat(length)}`)).statusCode
  assert.equal([await get(256), await get(257)], [200, 400])
  await app.close()
})

test('headers may have 16 KiB. A larger request gets a problem, which no browser takes for another type', async () => {
  const { app, port } = await start()
  const send = async (bytes: number) => {
    const connection = await openConnection(port)
    connection.send(
      `GET /address HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-padding: ${'x'.repeat(bytes)}\r\n\r\n`,
    )
    return connection.closed
  }
  assert.match(await send(15 * 1024), /^HTTP\/1\.1 200 /)
  const [head = '', body = ''] = (await send(17 * 1024)).split('\r\n\r\n')
  assert.match(head, /^HTTP\/1\.1 431 /)
  assert.match(head, /^content-type: application\/problem\+json\r?$/m)
  assert.match(head, /^x-content-type-options: nosniff\r?$/m)
  assert.match(head, /^connection: close\r?$/m)
  assert.is(problem.Parse(JSON.parse(body)).code, 'headers_too_large')
  await app.close()
})

test("the address of a client is that of its connection, unless a trusted proxy's header names another", async () => {
  const headers = { 'x-forwarded-for': '203.0.113.7, 192.0.2.9' }
  for (const [trustedProxies, remoteAddress, expected] of [
    [[], '192.0.2.1', '192.0.2.1'],
    [['10.0.0.0/8'], '192.0.2.1', '192.0.2.1'],
    [['192.0.2.0/28'], '192.0.2.1', '203.0.113.7'],
    // The last address that is no trusted proxy: what stands before it, the client may have written.
    [['192.0.2.1'], '192.0.2.1', '192.0.2.9'],
  ] as const) {
    const { app } = await start([...trustedProxies])
    const { ip } = (await app.inject({ url: '/address', headers, remoteAddress })).json()
    assert.is(ip, expected, `${trustedProxies} trusted, connection from ${remoteAddress}`)
    await app.close()
  }
})

test('a 503 asks the client to come back after 5 s', async () => {
  const { app } = await start()
  const { statusCode, headers } = await app.inject('/overloaded')
  assert.equal([statusCode, headers['retry-after']], [503, '5'])
  await app.close()
})

test('the message of an error that is not our own is not sent, whatever its status', async () => {
  const { app } = await start()
  for (const status of ['500', '502', '503', '200']) {
    const response = await app.inject(`/fails/${status}`)
    const { code, status: told } = problem.Parse(response.json())
    assert.equal([code, told, response.statusCode], ['internal', 500, 500], status)
    assert.not.match(response.body, 'redis.internal', status)
  }
  await app.close()
})

test.run()
