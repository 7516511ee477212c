import { createPublicPath } from '@millrace/api/http/public-path.ts'
import fastify from 'fastify'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('public path')

/** Creates an app under a path, with a few routes. */
function createApp(publicPath: string) {
  const { removeFrom, addToLocations } = createPublicPath(publicPath)
  const app = fastify({ rewriteUrl: removeFrom })
  addToLocations(app)
  app.get('/uploads/:id', async ({ params }) => params)
  app.get<{ Querystring: { to: string } }>('/go', (request, reply) => reply.redirect(request.query.to))
  return app
}

test('a request reaches its route with and without the path', async () => {
  const app = createApp('/media/eu')
  for (const url of ['/uploads/1', '/media/eu/uploads/1']) {
    assert.equal((await app.inject(url)).json(), { id: '1' })
  }
  for (const url of ['/media/uploads/1', '/media/euro/uploads/1', '/Media/eu/uploads/1']) {
    assert.is((await app.inject(url)).statusCode, 404, url)
  }
  await app.close()
})

test('a path that begins like a route stays, because a proxy may have removed it already', async () => {
  const app = createApp('/uploads')
  assert.equal((await app.inject('/uploads/1')).json(), { id: '1' })
  assert.is((await app.inject('/uploads/uploads/1')).statusCode, 404)
  await app.close()
})

test('a Location gets the path if it is one, and other addresses stay', async () => {
  const app = createApp('/media')
  for (const [to, location] of [
    ['/uploads/1?x=1', '/media/uploads/1?x=1'],
    ['https://s3.example/a', 'https://s3.example/a'],
    ['//s3.example/a', '//s3.example/a'],
  ]) {
    const { headers } = await app.inject({ url: '/go', query: { to: to ?? '' } })
    assert.is(headers['location'], location)
  }
  await app.close()
})

test.run()
