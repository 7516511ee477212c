import { readFile } from 'node:fs/promises'
import { createClient } from '@millrace/client'
import * as assert from 'uvu/assert'
import { generateTypes, typesFile } from '../../packages/client/generate-types.ts'
import { startApiInstances } from '../support/api-instances.ts'
import { suite } from '../support/suite.ts'

const test = suite('generated client types')

test('api-types.ts matches the API: if not, run npm run generate -w packages/client', async () => {
  const api = await startApiInstances()
  try {
    const response = await fetch(`${api.url}/openapi.json`)
    assert.is(await readFile(typesFile, 'utf8'), await generateTypes(await response.text()))
  } finally {
    await api.close()
  }
})

test('a typed request needs no parameter that has a default', async () => {
  const sent: string[] = []
  const { api } = createClient({
    origin: 'http://localhost:3000',
    async fetch({ url }) {
      sent.push(url.slice('http://localhost:3000'.length))
      return Response.json({})
    },
  })
  // `tsc` is the test: these do not compile if `limit` is required.
  await api.GET('/uploads')
  await api.GET('/uploads', { params: { query: { cursor: 'c' } } })
  await api.GET('/keys')
  await api.GET('/users')
  await api.GET('/webhooks/{id}/deliveries', { params: { path: { id: 'w' } } })
  assert.equal(sent, ['/uploads', '/uploads?cursor=c', '/keys', '/users', '/webhooks/w/deliveries'])
})

test.run()
