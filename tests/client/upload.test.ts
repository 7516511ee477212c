import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { openAsBlob } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { GetObjectCommand, ListObjectsV2Command, ListObjectVersionsCommand } from '@aws-sdk/client-s3'
import { Announced } from '@millrace/api/uploads/upload-routes.ts'
import { ApiProblem, type Client, createClient } from '@millrace/client'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../support/api-instances.ts'
import { bodyOf } from '../support/http-client.ts'
import { putOf } from '../support/send-upload.ts'
import { suite } from '../support/suite.ts'

const test = suite('client')
const MiB = 1024 ** 2
const size = 20 * MiB + 1
const bytes = new Uint8Array(randomBytes(size))
let api: ApiInstances

test.before(async () => {
  api = await startApiInstances()
})
test.after(() => api.close())

/** Creates a client that keeps its cookie. `change` can replace responses of the API. */
function cookieClient(
  change: (path: string, response: Response) => Promise<Response> = async (_, same) => same,
) {
  let cookie = ''
  return createClient({
    origin: api.url,
    fetch: async (request) => {
      if (cookie) request.headers.set('cookie', cookie)
      const response = await fetch(request)
      for (const set of response.headers.getSetCookie()) cookie = set.split(';')[0] ?? ''
      return change(new URL(request.url).pathname, response)
    },
  })
}

/** Reads the bytes of an upload's original from S3. */
async function readOriginal(id: string): Promise<Uint8Array> {
  const listing = await api.s3.send(new ListObjectsV2Command({ Bucket: api.bucket, Prefix: 'originals/' }))
  const Key = listing.Contents?.find((object) => object.Key?.endsWith(id))?.Key
  const { Body } = await api.s3.send(new GetObjectCommand({ Bucket: api.bucket, Key }))
  return (await Body?.transformToByteArray()) ?? new Uint8Array()
}

/** Starts a proxy before S3. `pass` returns true to forward a request; otherwise it handles the request. */
async function s3Proxy(pass: (request: IncomingMessage, response: ServerResponse) => boolean) {
  const target = new URL(api.environment.AWS_ENDPOINT_URL_S3)
  const server = createServer((incoming, outgoing) => {
    if (!pass(incoming, outgoing)) return
    // The signature covers the Host header, so it must stay that of S3.
    const headers = { ...incoming.headers, host: target.host }
    const forwarded = request(
      new URL(incoming.url ?? '', target),
      { method: incoming.method, headers },
      (received) => {
        outgoing.writeHead(received.statusCode ?? 502, received.headers)
        received.pipe(outgoing)
      },
    )
    forwarded.on('error', () => outgoing.destroy())
    incoming.pipe(forwarded)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo // of a TCP server
  return {
    /** Replaces S3's origin in signed URLs with the proxy's. */
    async redirect(_path: string, response: Response): Promise<Response> {
      const isJson = response.headers.get('content-type')?.startsWith('application/json')
      if (!isJson) return response
      const text = (await response.text()).replaceAll(target.origin, `http://127.0.0.1:${port}`)
      return new Response(text, { status: response.status, headers: response.headers })
    },
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function partOf({ url = '' }: IncomingMessage): number {
  return Number(new URL(url, 'http://s3').searchParams.get('partNumber'))
}

/** Reads a request to its end and refuses it with a status. */
function refuse(incoming: IncomingMessage, outgoing: ServerResponse, status: number): void {
  incoming.resume().once('end', () => outgoing.writeHead(status).end('<Error><Message>no</Message></Error>'))
}

test('upload sends a small file with one PUT, with its name, type and metadata', async () => {
  const client = cookieClient()
  const steps: number[] = []
  const file = new File([bytes.subarray(0, 1000)], 'notes.bin', { type: 'application/x-notes' })
  const upload = await client.upload(file, {
    metadata: { album: 'summer' },
    onProgress: (sent, total) => steps.push(sent / total),
  })
  assert.equal([upload.filename, upload.contentType, upload.size], ['notes.bin', 'application/x-notes', 1000])
  assert.equal(upload.metadata, { album: 'summer' })
  assert.equal(steps, [0, 1])
  assert.equal(await readOriginal(upload.id), bytes.subarray(0, 1000))
})

/** Counts the requests of a method that a proxy sees, and loses or refuses the first of them. */
async function faultyProxy(method: string, fault: 'lose' | 409 | 503) {
  const seen: string[] = []
  const proxy = await s3Proxy((incoming, outgoing) => {
    seen.push(incoming.method ?? '')
    if (incoming.method !== method || seen.length > 1) return true
    if (fault !== 'lose') {
      refuse(incoming, outgoing, fault)
      return false
    }
    // S3 stores the file, and the response is lost.
    outgoing.writeHead = () => outgoing.destroy()
    return true
  })
  return { ...proxy, seen }
}

test('a PUT whose response was lost is sent again, and 412 tells that S3 has the file', async () => {
  const proxy = await faultyProxy('PUT', 'lose')
  try {
    const steps: number[] = []
    const upload = await cookieClient(proxy.redirect).upload(new Blob(['7 bytes']), {
      onProgress: (sent) => steps.push(sent),
    })
    assert.equal(
      [proxy.seen, steps],
      [
        ['PUT', 'PUT'],
        [0, 7],
      ],
    )
    assert.equal(Buffer.from(await readOriginal(upload.id)).toString(), '7 bytes')
    const { Versions = [] } = await api.s3.send(
      new ListObjectVersionsCommand({ Bucket: api.bucket, Prefix: 'originals/' }),
    )
    assert.is(Versions.filter(({ Key }) => Key?.endsWith(upload.id)).length, 1)
  } finally {
    await proxy.close()
  }
})

test('a PUT is sent again while S3 is overloaded or stores the same file', async () => {
  for (const status of [503, 409] as const) {
    const proxy = await faultyProxy('PUT', status)
    try {
      const upload = await cookieClient(proxy.redirect).upload(new Blob(['7 bytes']))
      assert.equal(proxy.seen, ['PUT', 'PUT'])
      assert.is(Buffer.from(await readOriginal(upload.id)).toString(), '7 bytes')
    } finally {
      await proxy.close()
    }
  }
})

test('the client sends a form to an instance that does not know PUT', async () => {
  const bodies: string[] = []
  let cookie = ''
  const client = createClient({
    origin: api.url,
    async fetch(request) {
      if (cookie) request.headers.set('cookie', cookie)
      if (request.method === 'POST' && new URL(request.url).pathname === '/uploads') {
        const body = await request.clone().text()
        bodies.push(body)
        if (body.includes('transport')) {
          const errors = [{ field: 'transport', message: 'is not a known field' }]
          const problem = { status: 400, code: 'invalid_request', detail: 'transport is unknown.', errors }
          return Response.json(problem, {
            status: 400,
            headers: { 'content-type': 'application/problem+json' },
          })
        }
      }
      const response = await fetch(request)
      for (const set of response.headers.getSetCookie()) cookie = set.split(';')[0] ?? ''
      return response
    },
  })
  const upload = await client.upload(new Blob(['7 bytes']))
  assert.is(bodies.length, 2)
  assert.is(Buffer.from(await readOriginal(upload.id)).toString(), '7 bytes')
})

test('upload sends a large file from disk in parts and reports the sent bytes', async () => {
  const client = cookieClient()
  const directory = await mkdtemp(join(tmpdir(), 'millrace-client-'))
  try {
    await writeFile(join(directory, 'film'), bytes)
    const steps: number[] = []
    const file = await openAsBlob(join(directory, 'film'))
    const upload = await client.upload(file, { filename: 'film.bin', onProgress: (sent) => steps.push(sent) })
    assert.equal([upload.state, upload.filename, upload.size], ['received', 'film.bin', size])
    assert.equal([steps.at(0), steps.length, steps.at(-1)], [0, 4, size])
    assert.ok(Buffer.from(await readOriginal(upload.id)).equals(bytes))
  } finally {
    await rm(directory, { recursive: true })
  }
})

test('upload requests fresh URLs when signatures have expired, and retries failed parts', async () => {
  const refused = new Set<number>()
  const proxy = await s3Proxy((incoming, outgoing) => {
    const part = partOf(incoming)
    if (refused.has(part)) return true
    refused.add(part)
    if (part === 1) refuse(incoming, outgoing, 403)
    if (part === 2) refuse(incoming, outgoing, 503)
    if (part === 3) incoming.resume().once('end', () => outgoing.destroy())
    return false
  })
  try {
    const paths: string[] = []
    const client = cookieClient((path, response) => {
      paths.push(path.replace(/[0-9a-f-]{36}/, 'ID'))
      return proxy.redirect(path, response)
    })
    const upload = await client.upload(new Blob([bytes]))
    assert.is(upload.state, 'received')
    assert.ok(paths.includes('/uploads/ID/parts'), paths.join())
    assert.ok(Buffer.from(await readOriginal(upload.id)).equals(bytes))
  } finally {
    await proxy.close()
  }
})

test('an aborted upload stops, and resume sends only the missing parts', async () => {
  const controller = new AbortController()
  let isHanging = true
  let sent: number[] = []
  const proxy = await s3Proxy((incoming) => {
    sent.push(partOf(incoming))
    return !(isHanging && partOf(incoming) === 3)
  })
  try {
    const client = cookieClient(proxy.redirect)
    const reason = new Error('the tab was closed')
    let id = ''
    const broken = client.upload(new Blob([bytes]), {
      signal: controller.signal,
      onAnnounced: (announced) => {
        id = announced
      },
      onProgress: (bytes) => {
        if (bytes === 16 * MiB) controller.abort(reason)
      },
    })
    assert.is(await broken.catch((error: unknown) => error), reason)
    assert.equal(sent.toSorted(), [1, 2, 3])

    isHanging = false
    sent = []
    const steps: number[] = []
    const onProgress = (bytes: number) => steps.push(bytes)
    const upload = await client.upload(new Blob([bytes]), { resume: id, onProgress })
    assert.is(upload.state, 'received')
    assert.equal([sent, steps], [[3], [16 * MiB, size]])
    assert.ok(Buffer.from(await readOriginal(id)).equals(bytes))
    assert.is((await client.upload(new Blob([bytes]), { resume: id })).state, 'received')
    const other = await client.upload(new Blob(['other']), { resume: id }).catch(String)
    assert.match(String(other), `expects a file of ${size} bytes; this file has 5 bytes`)
  } finally {
    await proxy.close()
  }
})

test('waitUntilFinished rejects when its signal aborts, when onChange throws, and for an unknown id', async () => {
  const client = cookieClient()
  const { id } = await client.upload(new Blob(['x']))
  const reason = new Error('enough')
  const controller = new AbortController()
  const aborted = client.waitUntilFinished(id, {
    signal: controller.signal,
    onChange: () => controller.abort(reason),
  })
  assert.is(await aborted.catch((thrown) => thrown), reason)
  const onChange = () => {
    throw reason
  }
  assert.is(await client.waitUntilFinished(id, { onChange }).catch((thrown) => thrown), reason)
  const unknown = await client.waitUntilFinished('no-such-id').catch((thrown) => thrown)
  assert.is(unknown.code, 'upload_not_found')
})

test('the client waits for Retry-After, but fails at once if it is longer than a minute', async () => {
  const retryAfters = ['0', '3600']
  const client = cookieClient(async () => {
    const [seconds = ''] = retryAfters.splice(0, 1)
    return new Response('{}', { status: 429, headers: { 'retry-after': seconds } })
  })
  const error = await client.upload(new Blob(['x'])).catch((thrown) => thrown)
  assert.instance(error, ApiProblem)
  assert.equal([error.status, error.code, error.retryAfterMs, retryAfters], [429, 'unknown', 3_600_000, []])
})

test('upload throws the problem that the API returned, without a retry if it is final', async () => {
  let requests = 0
  const client: Client = cookieClient(async (_path, response) => {
    requests += 1
    return response
  })
  const error = await client.upload(new Blob(['x']), { preset: 'no-such-preset' }).catch((thrown) => thrown)
  assert.instance(error, ApiProblem)
  assert.equal([error.status, error.code, requests], [400, 'preset_unknown', 1])
})

test('a repeated announcement whose file has arrived returns the upload and sends nothing', async () => {
  let announcements = 0
  const client = cookieClient(async (path, response) => {
    if (path !== '/uploads' || response.status !== 201) return response
    announcements += 1
    if (announcements > 1) return response
    const { status, headers } = response
    const announced = bodyOf({ status, headers, body: await response.json() }, Announced)
    const put = putOf(announced)
    assert.ok((await fetch(put.url, { method: 'PUT', headers: put.headers, body: '7 bytes' })).ok)
    // The instance died before it stored the response.
    for (const key of await api.redis.keys(`${api.prefix}:*:idempotency:*`)) {
      await api.redis.hdel(key, 'answer')
    }
    throw new TypeError('connection lost')
  })
  await client.api.GET('/session')
  const sent: number[] = []
  const upload = await client.upload(new Blob(['7 bytes']), { onProgress: (bytes) => sent.push(bytes) })
  assert.equal([announcements, upload.state, sent], [2, 'received', [0, 7]])
})

test.run()
