import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { apiChecks } from '@millrace/local/doctor/api-checks.ts'
import type { Check } from '@millrace/local/doctor/finding.ts'
import { allocatorCheck, diskFinding, presetsCheck } from '@millrace/local/doctor/machine-checks.ts'
import { runChecks } from '@millrace/local/doctor/run-checks.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('doctor: API and machine')

async function lines(checks: Check[]): Promise<string[]> {
  const found = await runChecks(checks, () => undefined)
  return found.map(({ severity, text }) => `${severity}: ${text}`)
}

/** Serves what an API answers, by method and path. */
async function withApi<T>(
  answers: Record<string, { status?: number; body: unknown }>,
  use: (origin: string, seen: string[]) => Promise<T>,
): Promise<T> {
  const seen: string[] = []
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    const path = `${request.method} ${request.url?.split('?')[0]}`
    seen.push(
      `${path}${request.headers.authorization ? ' with a key' : ''}${request.headers.cookie ? ' with a cookie' : ''}`,
    )
    const { status = 200, body } = answers[path] ?? { status: 404, body: {} }
    request.resume()
    response.writeHead(status, { 'content-type': 'application/json', 'set-cookie': 'session=1; Path=/' })
    response.end(JSON.stringify(body))
  }
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The server has no port.')
  try {
    return await use(`http://127.0.0.1:${address.port}`, seen)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

const ready = { 'GET /ready': { body: { status: 'ready', checks: {} } } }
const accepted = {
  'POST /upload': { body: { id: 'one', state: 'received' } },
  'DELETE /uploads/one': { body: {} },
}

test('the image is sent, followed, loaded and erased, by its session or by a key', async () => {
  const answers = {
    ...ready,
    ...accepted,
    'GET /uploads/one': {
      body: { id: 'one', state: 'ready', variants: [{ name: 'small', url: '/uploads/one/variants/small' }] },
    },
    'GET /uploads/one/variants/small': { body: {} },
  }
  await withApi(answers, async (origin, seen) => {
    const [api, upload] = await lines(apiChecks({ origin, apiKey: undefined }))
    assert.is(api, 'ok: The API is ready.')
    assert.match(upload ?? '', /^ok: A small image went through in \d+\.\d s\.$/)
    assert.equal(seen, [
      'GET /ready',
      'POST /upload',
      'GET /uploads/one with a cookie',
      'GET /uploads/one/variants/small with a cookie',
      'DELETE /uploads/one with a cookie',
    ])
  })
  await withApi(answers, async (origin, seen) => {
    await lines(apiChecks({ origin, apiKey: 'key' }))
    assert.equal(seen.slice(1), [
      'POST /upload with a key',
      'GET /uploads/one with a key with a cookie',
      'GET /uploads/one/variants/small with a key with a cookie',
      'DELETE /uploads/one with a key with a cookie',
    ])
  })
  // A signed URL of S3 or of the CDN: neither gets the key.
  await withApi({ 'GET /small': { body: {} } }, async (s3, seenByS3) => {
    const signed = { id: 'one', state: 'ready', variants: [{ name: 'small', url: `${s3}/small?signature` }] }
    await withApi({ ...answers, 'GET /uploads/one': { body: signed } }, async (origin) => {
      const [, upload] = await lines(apiChecks({ origin, apiKey: 'key' }))
      assert.match(upload ?? '', /^ok: /)
    })
    assert.equal(seenByS3, ['GET /small'])
  })
})

test('an API that is unready, refuses the image, fails it, or cannot serve it', async () => {
  const upload = async (answers: Record<string, { status?: number; body: unknown }>) =>
    withApi(
      { ...ready, ...answers },
      async (origin) => (await lines(apiChecks({ origin, apiKey: undefined })))[1],
    )
  const unready = {
    'GET /ready': { status: 503, body: { status: 'unready', checks: { redis: 'failed', s3: 'ok' } } },
  }
  await withApi(unready, async (origin) => {
    const [first] = await lines(apiChecks({ origin, apiKey: undefined }).slice(0, 1))
    assert.is(first, 'error: The API is unready: it cannot use redis.')
  })
  assert.is(
    await upload({ 'POST /upload': { status: 401, body: { code: 'unauthenticated' } } }),
    'skipped: No image was sent: uploads need an API key here. Set MILLRACE_API_KEY.',
  )
  assert.is(
    await upload({
      'POST /upload': { status: 429, body: { code: 'quota_exceeded', detail: 'No more today.' } },
    }),
    'error: The API refused a small image (quota_exceeded: No more today.).',
  )
  const failed = { id: 'one', state: 'failed', error: { message: 'The worker has no memory' } }
  assert.is(
    await upload({ ...accepted, 'GET /uploads/one': { body: failed } }),
    'error: A small image was failed: The worker has no memory.',
  )
  const unserved = { id: 'one', state: 'ready', variants: [{ name: 'small', url: '/gone' }] }
  assert.is(
    await upload({ ...accepted, 'GET /uploads/one': { body: unserved } }),
    'error: A small image became ready, but its variant cannot be loaded (status 404).',
  )
})

test('an API that is not there, is something else, or whose address is not known', async () => {
  const [first] = await lines(apiChecks({ origin: 'http://127.0.0.1:1', apiKey: undefined }).slice(0, 1))
  assert.is(first, 'error: The API does not answer at http://127.0.0.1:1.')
  await withApi({}, async (origin) => {
    const [other] = await lines(apiChecks({ origin, apiKey: undefined }).slice(0, 1))
    assert.is(other, `error: ${origin} is not Millrace's API (status 404).`)
  })
  assert.match((await lines(apiChecks({ origin: undefined, apiKey: undefined })))[0] ?? '', /^skipped: /)
})

test('presets that are wrong are named', async () => {
  assert.equal(await lines([presetsCheck({})]), ['ok: The presets are valid: default.'])
  const [wrong] = await lines([presetsCheck({ PRESETS: '[{"name":"a"' })])
  assert.match(wrong ?? '', /^error: PRESETS is not JSON/)
  const [missing] = await lines([presetsCheck({ PRESETS_FILE: '/no/such/file.json' })])
  assert.match(missing ?? '', /^error: PRESETS_FILE /)
})

test('little space on the disk', () => {
  const severity = (gib: number) => diskFinding(gib * 1024 ** 3, '/data').severity
  assert.equal(
    [severity(5), severity(4.99), severity(0.5), severity(0.49)],
    ['ok', 'warning', 'warning', 'error'],
  )
  assert.is(diskFinding(1024 ** 3, '/data').text, '1.0 GiB are free in /data.')
})

test('the allocator of the workers on this machine', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-proc-'))
  const addProcess = async (pid: number, command: string, maps: string) => {
    await mkdir(join(directory, String(pid)))
    await writeFile(join(directory, String(pid), 'cmdline'), command)
    await writeFile(join(directory, String(pid), 'maps'), maps)
  }
  try {
    await addProcess(1, 'node\0/app/packages/api/src/main.ts\0', '')
    assert.match((await lines([allocatorCheck(directory)]))[0] ?? '', /^skipped: /)
    await addProcess(
      2,
      'node\0/app/packages/worker/src/main.ts\0',
      '7f00 r-xp /usr/local/lib/libjemalloc.so.2\n',
    )
    assert.equal(await lines([allocatorCheck(directory)]), ['ok: Workers allocate with jemalloc.'])
    await addProcess(3, 'node\0/app/packages/worker/src/main.ts\0', '7f00 r-xp /usr/lib/libc.so.6\n')
    assert.match(
      (await lines([allocatorCheck(directory)]))[0] ?? '',
      /^note: Workers allocate with jemalloc, glibc, /,
    )
  } finally {
    await rm(directory, { recursive: true })
  }
})

test.run()
