import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { createHttpClient } from '../../support/http-client.ts'
import { announce } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'

const test = suite('security headers')
let consoleDirectory: string
let api: ApiInstances
let overHttps: ApiInstances

test.before(async () => {
  consoleDirectory = await mkdtemp(join(tmpdir(), 'millrace-console-'))
  await mkdir(join(consoleDirectory, 'assets'))
  await writeFile(join(consoleDirectory, 'index.html'), '<!doctype html>')
  api = await startApiInstances({ environment: { CONSOLE_DIRECTORY: consoleDirectory } })
  overHttps = await startApiInstances({ environment: { PUBLIC_ORIGIN: 'https://files.example' } })
})
test.after(async () => {
  await api.close()
  await overHttps.close()
  await rm(consoleDirectory, { recursive: true })
})

test('every response of the API has security headers that stop it from acting as a page', async () => {
  const client = createHttpClient(api.url)
  const { id } = await announce(client, 5)
  const paths = [
    '/health',
    '/ready',
    '/session',
    '/uploads',
    `/uploads/${id}`,
    '/nowhere',
    '/uploads?limit=x',
  ]
  for (const path of [...paths, `/uploads/${id}/original`]) {
    const { headers } = await client.get(path)
    const policy = headers.get('content-security-policy')
    assert.is(
      policy,
      "default-src 'none';base-uri 'none';form-action 'none';frame-ancestors 'none';sandbox",
      path,
    )
    assert.is(headers.get('x-content-type-options'), 'nosniff', path)
    assert.is(headers.get('x-frame-options'), 'DENY', path)
    assert.is(headers.get('referrer-policy'), 'no-referrer', path)
    assert.is(headers.get('cross-origin-resource-policy'), 'same-origin', path)
    assert.is(headers.get('strict-transport-security'), null, path)
    assert.is(headers.get('x-powered-by'), null, path)
  }
})

test("the console's page has its own content security policy", async () => {
  const { status, headers } = await createHttpClient(api.url).get('/')
  assert.is(status, 200)
  const policy = headers.get('content-security-policy') ?? ''
  assert.match(policy, "script-src 'self';")
  assert.match(policy, "frame-ancestors 'none'")
  assert.not.match(policy, 'sandbox')
  assert.not.match(policy, 'unsafe')
  assert.is(headers.get('x-content-type-options'), 'nosniff')
})

test('with an https origin, responses have Strict-Transport-Security', async () => {
  for (const path of ['/health', '/nowhere']) {
    const { headers } = await createHttpClient(overHttps.url).get(path)
    assert.is(headers.get('strict-transport-security'), 'max-age=31536000')
  }
})

test.run()
