import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { openEventStream } from '../../support/event-stream.ts'
import { createHttpClient } from '../../support/http-client.ts'
import { announce } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'

const test = suite('ended identities')
const { key, entry } = newApiKey('acme', ['uploads:read'])
let api: ApiInstances

test.before(async () => {
  api = await startApiInstances({ count: 2, environment: { API_KEYS: entry } })
})
test.after(() => api.close())

test('DELETE /session ends all event streams of the session, on all instances, and no others', async () => {
  const client = createHttpClient(api.url)
  const { id } = await announce(client, 7)
  const copy = createHttpClient(api.url, client.cookie)
  const other = createHttpClient(api.url)
  await other.get('/session')
  const own = await Promise.all(
    api.urls.flatMap((base) =>
      ['/events', `/uploads/${id}/events`].map((path) => openEventStream(new URL(path, base), copy)),
    ),
  )
  const url = new URL('/events', api.urls[1])
  const others = [await openEventStream(url, other), await openEventStream(url, client, undefined, key)]
  for (const stream of [...own, ...others]) assert.ok(await stream.next())

  assert.is((await client.delete('/session')).status, 204)
  for (const stream of own) assert.is(await stream.next(), undefined)
  assert.is((await copy.get('/events')).status, 401)

  await announce(other, 7)
  assert.is((await others[0]?.next())?.event, 'upload')
  const apiKey = others[1]?.next()
  assert.is(await Promise.race([apiKey, Promise.resolve('open')]), 'open')
  for (const stream of others) stream.close()
  await apiKey?.catch(() => undefined)
})

test.run()
