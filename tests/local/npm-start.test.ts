import { once } from 'node:events'
import { get } from 'node:http'
import * as assert from 'uvu/assert'
import { createPlace, npmStart, type Place } from '../support/start-millrace.ts'
import { suite } from '../support/suite.ts'

const test = suite('npm start', {}, { limitMs: 90_000 })
let place: Place

test.before.each(async () => {
  place = await createPlace()
})

test.after.each(() => place.remove())

type Session = { views: number; servedBy: string }

/** One `GET /session` on a connection of its own. @returns the session, and the cookie to send next */
async function visit(url: string, cookie: string): Promise<{ session: Session; cookie: string }> {
  const [response] = await once(
    get(new URL('/session', url), { agent: false, headers: cookie ? { cookie } : {} }),
    'response',
  )
  assert.is(response.statusCode, 200)
  let body = ''
  for await (const chunk of response) body += chunk
  const [set]: string[] = response.headers['set-cookie'] ?? []
  return { session: JSON.parse(body), cookie: set?.split(';')[0] ?? cookie }
}

test('counts views across API instances and across a restart', async () => {
  const first = npmStart(place, ['--port', '0', '--api', '3'])
  const url = await first.ready
  const servedBy = new Set<string>()
  let cookie = ''
  let session: Session | undefined
  for (let views = 1; views <= 6; views += 1) {
    ;({ session, cookie } = await visit(url, cookie))
    assert.is(session.views, views)
    servedBy.add(session.servedBy)
  }
  assert.equal([...servedBy].sort(), ['api-1', 'api-2', 'api-3'])
  first.signal('SIGTERM')
  assert.is((await first.ended).code, 0)
  assert.equal(place.processes(), [])

  const startedAt = performance.now()
  const second = npmStart(place, ['--port', '0'])
  const again = await second.ready
  assert.ok(performance.now() - startedAt < 20_000)
  assert.is((await visit(again, cookie)).session.views, 7)
  second.signal('SIGTERM')
  await second.ended
  assert.equal(place.processes(), [])
})

test('stops on the Ctrl-C of a terminal, which reaches npm, its shell and the supervisor at once', async () => {
  const millrace = npmStart(place, ['--port', '0'])
  await millrace.ready
  millrace.signalGroup('SIGINT')
  await millrace.ended
  assert.equal(place.processes(), [])
  assert.not.match(millrace.errors(), 'did not stop')
})

test('passes its refusal and its exit code through npm', async () => {
  const millrace = npmStart(place, ['--port', '0', '--wrong'])
  assert.is((await millrace.ended).code, 2)
  assert.match(millrace.errors(), "Unknown option '--wrong'; --help lists the options.")
})

test.run()
