import { Problem } from '@millrace/api/http/problem.ts'
import fc from 'fast-check'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { collectRoutes, type Route } from '../../support/app-routes.ts'
import { createHttpClient } from '../../support/http-client.ts'
import { type OddRequest, oddRequests } from '../../support/odd-requests.ts'
import { openConnection } from '../../support/raw-connection.ts'
import { announce } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'
import { createTus } from '../../support/tus-client.ts'

const budgetMs = 3_000
/** An answer that takes longer on a busy machine than this is none. */
const hangMs = 10_000
const atOnce = 24
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31)
const problem = Compile(Problem)
const test = suite('fuzz', {}, { limitMs: 90_000 })
let api: ApiInstances
let routes: Route[]
let port: number

test.before(async () => {
  const environment = {
    RATE_LIMIT_PER_MINUTE: '0',
    RATE_LIMIT_PER_ADDRESS_PER_MINUTE: '0',
    // What is never sent to its end is not waited for, or there would be time for a few requests only.
    HEADERS_TIMEOUT_MS: '200',
    SLOW_BODY_MS: '200',
    UPLOAD_SILENCE_MS: '200',
  }
  const collected = await collectRoutes(() => startApiInstances({ environment }))
  api = collected.started
  routes = collected.routes
  port = Number(new URL(api.url).port)
})
test.after(() => api.close())

/** Whether an answer is there to its end; of a stream of events, its beginning is enough. */
function isWhole(received: string, method: string): boolean {
  const [head = '', ...rest] = withoutInterim(received).split('\r\n\r\n')
  if (rest.length === 0) return false
  if (method === 'HEAD' || /^HTTP\/1\.1 (204|304)|^content-type: text\/event-stream/im.test(head)) return true
  const length = /^content-length: (\d+)/im.exec(head)?.[1]
  const body = rest.join('\r\n\r\n')
  return length === undefined ? body.endsWith('0\r\n\r\n') : body.length >= Number(length)
}

/** A server may say "100 Continue" before it answers. */
function withoutInterim(received: string): string {
  return received.replace(/^HTTP\/1\.1 1\d\d .*?\r\n\r\n/s, '')
}

/** @returns what came back */
async function send({ method, bytes }: OddRequest): Promise<string> {
  const connection = await openConnection(port)
  connection.send(bytes)
  const late = Promise.withResolvers<string>()
  const timer = setTimeout(() => late.resolve('nothing, it hangs'), hangMs)
  const answer = await Promise.race([connection.when((received) => isWhole(received, method)), late.promise])
  clearTimeout(timer)
  connection.destroy()
  return withoutInterim(answer)
}

/** What is wrong with an answer, if anything. */
function complaint({ method }: OddRequest, answer: string): string | undefined {
  const [head = '', ...rest] = answer.split('\r\n\r\n')
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1])
  if (Number.isNaN(status)) return `no answer but ${JSON.stringify(answer.slice(0, 80))}`
  if (status >= 500) return `answered with ${status}`
  if (status < 400) return undefined
  if (!/^content-type: application\/problem\+json/im.test(head)) return `${status} is no problem+json`
  if (method === 'HEAD') return undefined
  const length = Number(/^content-length: (\d+)/im.exec(head)?.[1])
  const body = Buffer.from(rest.join('\r\n\r\n').slice(0, length), 'latin1').toString()
  if (!problem.Check(JSON.parse(body))) return `not in the form of a problem: ${body}`
  return undefined
}

test('HEAD of a stream of events leaves none open', async () => {
  const client = createHttpClient(api.url)
  const { id } = await announce(client, 5)
  const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length
  const before = timers()
  for (const path of [`/uploads/${id}/events`, '/events']) {
    const answer = await client.request('HEAD', path)
    assert.is(answer.status, 200)
    assert.match(answer.headers.get('content-type') ?? '', 'text/event-stream')
  }
  assert.is(timers(), before)
})

test('whatever is thrown at any route, the answer comes, and is never our fault', async () => {
  const client = createHttpClient(api.url)
  const small = await announce(client, 5)
  const large = await announce(client, 20 * 1024 ** 2)
  const byTus = (await createTus(client, 20)).slice('/tus/'.length)
  const known = { cookie: client.cookie ?? '', ids: [small.id, large.id, byTus] }
  assert.ok(routes.length > 20, `only ${routes.length} routes were found`)
  process.stdout.write(`  FUZZ_SEED=${seed}\n`)
  let sent = 0
  const seen = new Map<string, number>()
  await fc.assert(
    fc.asyncProperty(
      fc.array(oddRequests(routes, known), { minLength: 1, maxLength: atOnce, size: 'max' }),
      async (requests) => {
        const answers = await Promise.all(requests.map(send))
        for (const [index, request] of requests.entries()) {
          const answer = answers[index] ?? ''
          const wrong = complaint(request, answer)
          assert.is(wrong, undefined, `${wrong}\n${request.bytes.toString('latin1')}\n→\n${answer}`)
          sent += 1
          const status = answer.slice(9, 12)
          seen.set(status, (seen.get(status) ?? 0) + 1)
        }
      },
    ),
    { seed, numRuns: 100_000, interruptAfterTimeLimit: budgetMs, markInterruptAsFailure: false },
  )
  process.stdout.write(
    `  ${sent} requests: ${[...seen]
      .sort()
      .map(([status, n]) => `${status} × ${n}`)
      .join(', ')}\n`,
  )
  // Not all of them were refused at the door.
  for (const status of ['200', '400', '404', '415']) assert.ok(seen.has(status), `none had ${status}`)
  assert.is((await client.get('/health')).status, 200)
  assert.is((await client.get('/uploads')).status, 200)
})

test.run()
