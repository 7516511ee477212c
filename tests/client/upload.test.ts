import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { openAsBlob } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { GetObjectCommand, ListObjectsV2Command } from '@aws-sdk/client-s3'
import { ApiProblem, type Client, createClient } from '@millrace/client'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../support/api-instances.ts'
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

/** A client that keeps its cookie; `change` may alter what the API answers. */
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

async function stored(id: string): Promise<Uint8Array> {
  const listing = await api.s3.send(new ListObjectsV2Command({ Bucket: api.bucket, Prefix: 'originals/' }))
  const Key = listing.Contents?.find((object) => object.Key?.endsWith(id))?.Key
  const { Body } = await api.s3.send(new GetObjectCommand({ Bucket: api.bucket, Key }))
  return (await Body?.transformToByteArray()) ?? new Uint8Array()
}

/** Stands before S3: `pass` may answer a request itself, or let it through. */
async function s3Proxy(pass: (request: IncomingMessage, response: ServerResponse) => boolean) {
  const target = new URL(api.environment.AWS_ENDPOINT_URL_S3)
  const server = createServer((incoming, outgoing) => {
    if (!pass(incoming, outgoing)) return
    // The host is signed, so it stays that of S3.
    const headers = { ...incoming.headers, host: target.host }
    const forwarded = request(
      new URL(incoming.url ?? '', target),
      { method: incoming.method, headers },
      (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(outgoing)
      },
    )
    forwarded.on('error', () => outgoing.destroy())
    incoming.pipe(forwarded)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo // of a TCP server
  return {
    /** Makes signed URLs lead here. */
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

/** Drops a request as a broken connection does, or refuses it with a status. */
function refuse(incoming: IncomingMessage, outgoing: ServerResponse, status: number): void {
  incoming.resume().once('end', () => outgoing.writeHead(status).end('<Error><Message>no</Message></Error>'))
}

test('sends a small file as a form, with what is said of it', async () => {
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
  assert.equal(await stored(upload.id), bytes.subarray(0, 1000))
})

test('sends a large file of the disk in parts, and tells the bytes that have left', async () => {
  const client = cookieClient()
  const directory = await mkdtemp(join(tmpdir(), 'millrace-client-'))
  try {
    await writeFile(join(directory, 'film'), bytes)
    const steps: number[] = []
    const file = await openAsBlob(join(directory, 'film'))
    const upload = await client.upload(file, { filename: 'film.bin', onProgress: (sent) => steps.push(sent) })
    assert.equal([upload.state, upload.filename, upload.size], ['received', 'film.bin', size])
    assert.equal([steps.at(0), steps.length, steps.at(-1)], [0, 4, size])
    assert.ok(Buffer.from(await stored(upload.id)).equals(bytes))
  } finally {
    await rm(directory, { recursive: true })
  }
})

test('asks for fresh URLs where they have expired, and tries again what broke', async () => {
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
    const asked: string[] = []
    const client = cookieClient((path, response) => {
      asked.push(path.replace(/[0-9a-f-]{36}/, 'ID'))
      return proxy.redirect(path, response)
    })
    const upload = await client.upload(new Blob([bytes]))
    assert.is(upload.state, 'received')
    assert.ok(asked.includes('/uploads/ID/parts'), asked.join())
    assert.ok(Buffer.from(await stored(upload.id)).equals(bytes))
  } finally {
    await proxy.close()
  }
})

test('stops when it is told to, and resumes with what is missing', async () => {
  const leaving = new AbortController()
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
      signal: leaving.signal,
      onAnnounced: (announced) => {
        id = announced
      },
      onProgress: (bytes) => {
        if (bytes === 16 * MiB) leaving.abort(reason)
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
    assert.ok(Buffer.from(await stored(id)).equals(bytes))
    assert.is((await client.upload(new Blob([bytes]), { resume: id })).state, 'received')
    const other = await client.upload(new Blob(['other']), { resume: id }).catch(String)
    assert.match(String(other), `of a file of ${size} bytes`)
  } finally {
    await proxy.close()
  }
})

test('stops waiting when it is told to, when a listener throws, and where there is nothing to wait for', async () => {
  const client = cookieClient()
  const { id } = await client.upload(new Blob(['x']))
  const reason = new Error('enough')
  const leaving = new AbortController()
  const left = client.waitUntilFinished(id, { signal: leaving.signal, onChange: () => leaving.abort(reason) })
  assert.is(await left.catch((thrown) => thrown), reason)
  const onChange = () => {
    throw reason
  }
  assert.is(await client.waitUntilFinished(id, { onChange }).catch((thrown) => thrown), reason)
  const unknown = await client.waitUntilFinished('no-such-id').catch((thrown) => thrown)
  assert.is(unknown.code, 'upload_not_found')
})

test('waits as long as the API asks, but not for tomorrow', async () => {
  const refusals = ['0', '3600']
  const client = cookieClient(async () => {
    const [seconds = ''] = refusals.splice(0, 1)
    return new Response('{}', { status: 429, headers: { 'retry-after': seconds } })
  })
  const error = await client.upload(new Blob(['x'])).catch((thrown) => thrown)
  assert.instance(error, ApiProblem)
  assert.equal([error.status, error.code, error.retryAfterMs, refusals], [429, 'unknown', 3_600_000, []])
})

test('throws what the API says, and does not try it again', async () => {
  let asked = 0
  const client: Client = cookieClient(async (_path, response) => {
    asked += 1
    return response
  })
  const error = await client.upload(new Blob(['x']), { preset: 'no-such-preset' }).catch((thrown) => thrown)
  assert.instance(error, ApiProblem)
  assert.equal([error.status, error.code, asked], [400, 'preset_unknown', 1])
})

test.run()
