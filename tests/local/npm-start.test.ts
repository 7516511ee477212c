import { once } from 'node:events'
import { get } from 'node:http'
import * as assert from 'uvu/assert'
import { createSandbox, type Sandbox, startWithNpm } from '../support/start-millrace.ts'
import { suite } from '../support/suite.ts'

const test = suite('npm start', {}, { limitMs: 90_000 })
let sandbox: Sandbox

test.before.each(async () => {
  sandbox = await createSandbox()
})

test.after.each(() => sandbox.remove())

type Session = { views: number; servedBy: string }

/** Sends one `GET /session` on a new connection. @returns the session, and the cookie for the next request */
async function getSession(url: string, cookie: string): Promise<{ session: Session; cookie: string }> {
  const [response] = await once(
    get(new URL('/session', url), { agent: false, headers: cookie ? { cookie } : {} }),
    'response',
  )
  assert.is(response.statusCode, 200)
  let body = ''
  for await (const chunk of response) body += chunk
  const [setCookie]: string[] = response.headers['set-cookie'] ?? []
  return { session: JSON.parse(body), cookie: setCookie?.split(';')[0] ?? cookie }
}

test('session views are counted across API instances and across a restart', async () => {
  const first = startWithNpm(sandbox, ['--port', '0', '--api', '3'])
  const url = await first.ready
  const servedBy = new Set<string>()
  let cookie = ''
  let session: Session | undefined
  for (let views = 1; views <= 6; views += 1) {
    ;({ session, cookie } = await getSession(url, cookie))
    assert.is(session.views, views)
    servedBy.add(session.servedBy)
  }
  assert.equal([...servedBy].sort(), ['api-1', 'api-2', 'api-3'])
  first.signal('SIGTERM')
  assert.is((await first.ended).code, 0)
  assert.equal(sandbox.processes(), [])

  const startedAt = performance.now()
  const second = startWithNpm(sandbox, ['--port', '0'])
  const secondUrl = await second.ready
  assert.ok(performance.now() - startedAt < 20_000)
  assert.is((await getSession(secondUrl, cookie)).session.views, 7)
  second.signal('SIGTERM')
  await second.ended
  assert.equal(sandbox.processes(), [])
})

test('Ctrl-C in a terminal, which signals npm, its shell and the supervisor at once, stops every process', async () => {
  const millrace = startWithNpm(sandbox, ['--port', '0'])
  await millrace.ready
  millrace.signalGroup('SIGINT')
  await millrace.ended
  assert.equal(sandbox.processes(), [])
  assert.not.match(millrace.errors(), 'did not stop')
  assert.match(millrace.errors(), /Stopping…\n(?:.*\n)*Stopped\.\n/)
})

test('npm start passes on the error message and exit code 2', async () => {
  const millrace = startWithNpm(sandbox, ['--port', '0', '--wrong'])
  assert.is((await millrace.ended).code, 2)
  assert.match(millrace.errors(), "Unknown option '--wrong'; see --help.")
})

test.run()
