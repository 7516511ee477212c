import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import fc from 'fast-check'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { collectRoutes, type Route } from '../../support/app-routes.ts'
import { createHttpClient } from '../../support/http-client.ts'
import { type OddRequest, oddRequests, type SessionUploads, withSession } from '../../support/odd-requests.ts'
import { openConnection } from '../../support/raw-connection.ts'
import { announce } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'
import { createTus } from '../../support/tus-client.ts'

/** Batches of requests. A fixed number, because a slow machine would send too few of them in a fixed time. */
const batches = Number(process.env['FUZZ_BATCHES'] ?? 8)
/** A request without a response after this time is a failure, also on a busy machine. */
const responseTimeoutMs = 10_000
const maxConcurrentRequests = 40
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31)
const problem = Compile(Problem)
const test = suite('fuzz', {}, { limitMs: 90_000 })
const administrator = newApiKey('acme', ['tenant', 'tokens', 'act-as', 'uploads:read', 'uploads:write'])
let api: ApiInstances
let routes: Route[]
let handled: () => number
let port: number

test.before(async () => {
  const environment = {
    RATE_LIMIT_PER_MINUTE: '0',
    RATE_LIMIT_PER_ADDRESS_PER_MINUTE: '0',
    // Short timeouts for incomplete requests, but not so short that a busy machine sends complete ones too slowly.
    HEADERS_TIMEOUT_MS: '1000',
    SLOW_BODY_MS: '1000',
    UPLOAD_IDLE_TIMEOUT_MS: '1000',
    // Otherwise no request would reach the handlers of admin routes.
    OPEN_ADMIN: 'true',
    API_KEYS: administrator.entry,
  }
  const collected = await collectRoutes(() => startApiInstances({ environment }))
  api = collected.started
  routes = collected.routes
  handled = collected.handled
  port = Number(new URL(api.url).port)
})
test.after(() => api.close())

/** Starts a session with an upload of each kind: small, in parts, and tus. */
async function startSession(): Promise<SessionUploads> {
  const client = createHttpClient(api.url)
  const small = await announce(client, 5)
  const large = await announce(client, 20 * 1024 ** 2)
  const tusId = (await createTus(client, 20)).slice('/tus/'.length)
  return {
    cookie: client.cookie ?? '',
    ids: [small.id, large.id, tusId],
    authorization: `Bearer ${administrator.key}`,
  }
}

/** Whether a response was received completely. For an event stream, its headers are enough. */
function isComplete(received: string, method: string): boolean {
  const [head = '', ...rest] = withoutInterim(received).split('\r\n\r\n')
  if (rest.length === 0) return false
  if (method === 'HEAD' || /^HTTP\/1\.1 (204|304)|^content-type: text\/event-stream/im.test(head)) return true
  const length = /^content-length: (\d+)/im.exec(head)?.[1]
  const body = rest.join('\r\n\r\n')
  return length === undefined ? body.endsWith('0\r\n\r\n') : body.length >= Number(length)
}

/** Removes an interim response such as "100 Continue". */
function withoutInterim(received: string): string {
  return received.replace(/^HTTP\/1\.1 1\d\d .*?\r\n\r\n/s, '')
}

/** Sends a request and returns the response. */
async function send({ method, bytes }: OddRequest): Promise<string> {
  const connection = await openConnection(port)
  connection.send(bytes)
  const late = Promise.withResolvers<string>()
  const timer = setTimeout(() => late.resolve('timeout: no response'), responseTimeoutMs)
  const response = await Promise.race([
    connection.when((received) => isComplete(received, method)),
    late.promise,
  ])
  clearTimeout(timer)
  connection.destroy()
  return withoutInterim(response)
}

/** Returns what is wrong with a response, or undefined. */
function findDefect({ method }: OddRequest, response: string): string | undefined {
  const [head = '', ...rest] = response.split('\r\n\r\n')
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1])
  if (Number.isNaN(status)) return `not an HTTP response: ${JSON.stringify(response.slice(0, 80))}`
  if (status >= 500) return `responded with ${status}`
  if (status < 400) return undefined
  if (!/^content-type: application\/problem\+json/im.test(head)) return `${status} without problem+json`
  if (method === 'HEAD') return undefined
  const length = Number(/^content-length: (\d+)/im.exec(head)?.[1])
  const body = Buffer.from(rest.join('\r\n\r\n').slice(0, length), 'latin1').toString()
  const parsed: unknown = JSON.parse(body)
  if (!problem.Check(parsed)) return `body does not match the problem schema: ${body}`
  // Uppy 5 shows `message`.
  if (parsed.message !== parsed.detail) return `message differs from detail: ${body}`
  return undefined
}

test('HEAD of an event stream leaves no stream open', async () => {
  const client = createHttpClient(api.url)
  const { id } = await announce(client, 5)
  const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length
  const before = timers()
  for (const path of [`/uploads/${id}/events`, '/events']) {
    const response = await client.request('HEAD', path)
    assert.is(response.status, 200)
    assert.match(response.headers.get('content-type') ?? '', 'text/event-stream')
  }
  assert.is(timers(), before)
})

test('every route responds to malformed requests, and never with a 5xx status', async () => {
  assert.ok(routes.length > 20, `only ${routes.length} routes were found`)
  process.stdout.write(`  FUZZ_SEED=${seed}\n`)
  let sent = 0
  let handledOfSent = 0
  const counts = new Map<string, number>()

  const sendAll = async (generated: OddRequest[]) => {
    // The last requests may have ended the session, or erased its uploads.
    const session = await startSession()
    const requests = generated.map((request) => withSession(request, session))
    const handledBefore = handled()
    const responses = await Promise.all(requests.map(send))
    handledOfSent += handled() - handledBefore
    for (const [index, request] of requests.entries()) {
      const response = responses[index] ?? ''
      const defect = findDefect(request, response)
      assert.is(defect, undefined, `${defect}\n${request.bytes.toString('latin1')}\n→\n${response}`)
      sent += 1
      const status = response.slice(9, 12)
      counts.set(status, (counts.get(status) ?? 0) + 1)
    }
  }
  await fc.assert(
    fc.asyncProperty(
      fc.array(oddRequests(routes), {
        minLength: 32,
        maxLength: maxConcurrentRequests,
        size: 'max',
      }),
      sendAll,
    ),
    // The failed request is printed as it was sent. Finding a smaller one would take longer than the test may.
    { seed, numRuns: batches, endOnFailure: true },
  )
  const share = handledOfSent / sent
  process.stdout.write(
    `  ${sent} requests, ${Math.round(share * 100)} % of them handled: ${[...counts]
      .sort()
      .map(([status, n]) => `${status} × ${n}`)
      .join(', ')}\n`,
  )
  // Otherwise the handlers, in which most defects are, would hardly be tried.
  assert.ok(share >= 0.5, `only ${share} of the requests reached a handler`)
  for (const status of ['200', '400', '404']) assert.ok(counts.has(status), `no response had ${status}`)
  const client = createHttpClient(api.url)
  assert.is((await client.get('/health')).status, 200)
  assert.is((await client.get('/uploads')).status, 200)
})

test.run()
