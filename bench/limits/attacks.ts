import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { Agent, createServer, request, type ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import sharp from 'sharp'
import type { System } from '../system.ts'

const MiB = 1024 ** 2
const TiB = 1024 ** 4

/** One kind of attack. */
export type Attack = {
  name: string
  /** Variables of API and worker. */
  environment?: Record<string, string>
  /**
   * Attacks a system, and resolves when the attack has reached its peak.
   * @returns what an honest client had to wait, in ms, if the attack measures that itself
   */
  run(system: System, scale: Scale): Promise<number | undefined>
}

/** How much is sent. */
export type Scale = { requests: number; streams: number; bodies: number; bodyMiB: number; photos: number }

/** All attacks come from one address, which is not the honest client's. */
const attacker = '203.0.113.9'
const concurrency = 16
/** How long bodies and streams are held before the memory is read, in ms. */
const holdMs = 5_000
/** Longer than any honest wait. In ms. */
const patienceMs = 60_000

export const attacks: Attack[] = [
  {
    name: 'three bodies that claim 5 TiB',
    async run({ port }, { bodyMiB }) {
      const sockets = await Promise.all(
        [1, 2, 3].map(() => sendBody(port, { claimedBytes: 5 * TiB, sentBytes: bodyMiB * MiB })),
      )
      await hold(sockets)
      return undefined
    },
  },
  {
    name: 'forms that fall silent after 7.9 MiB',
    async run({ port }, { bodies }) {
      const sockets = await Promise.all(
        Array.from({ length: bodies }, () =>
          sendBody(port, { claimedBytes: 100 * MiB, sentBytes: Math.floor(7.9 * MiB), asForm: true }),
        ),
      )
      await hold(sockets)
      return undefined
    },
  },
  {
    name: 'idle event streams',
    async run({ url, port }, { streams }) {
      const cookie = await newSession(url)
      const sockets = await times(streams, () => openStream(port, cookie))
      await hold(sockets)
      return undefined
    },
  },
  {
    name: 'new sessions',
    async run({ url }, { requests }) {
      const send = createSender(url)
      await times(requests, () => send('GET', '/session'))
      return undefined
    },
  },
  {
    name: 'announced files that never come',
    async run({ url }, { requests }) {
      const send = createSender(url)
      await times(requests, () => send('POST', '/uploads', announcement(1000)))
      return undefined
    },
  },
  {
    name: 'announcements of 100 parts, each with an Idempotency-Key',
    async run({ url }, { requests }) {
      const send = createSender(url, { cookie: await newSession(url) })
      await times(requests / 8, (number) =>
        send('POST', '/uploads', announcement(800 * MiB), { 'idempotency-key': `attack-${number}` }),
      )
      return undefined
    },
  },
  {
    name: 'imports with long sourceUrls',
    async run({ url }, { requests }) {
      const send = createSender(url, { cookie: await newSession(url) })
      const sourceUrl = `http://192.0.2.1/${'x'.repeat(8_000)}`
      await times(requests / 4, () => send('POST', '/uploads', { sourceUrl }))
      return undefined
    },
  },
  {
    name: 'parts of 8 MiB sent with 64 MiB',
    async run({ url }) {
      const send = createSender(url, { cookie: await newSession(url) })
      const { transport } = await send('POST', '/uploads', announcement(80 * MiB))
      for (const part of transport.parts.slice(0, 4)) await put(part.url, new Uint8Array(64 * MiB))
      return undefined
    },
  },
  {
    name: 'a form of 4 MiB sent 20 times, each time with other bytes',
    async run({ url }) {
      const send = createSender(url, { cookie: await newSession(url) })
      const { transport } = await send('POST', '/uploads', announcement(4 * MiB))
      for (let sent = 0; sent < 20; sent++) await sendForm(transport, randomBytes(4 * MiB))
      await delay(holdMs)
      return undefined
    },
  },
  {
    name: '54 files of 1 MB without a cookie, under quotas of 1 MB',
    environment: { QUOTA_BYTES_TOTAL: '1000000', QUOTA_BYTES_PER_DAY_PER_ADDRESS: '1000000' },
    async run({ url }) {
      const send = createSender(url)
      await times(54, () => send('POST', '/upload?filename=a.bin', new Uint8Array(1_000_000)))
      return undefined
    },
  },
  {
    name: 'photos of one owner, then one of another (its time until `ready`)',
    environment: { WORKER_SLOTS: '2' },
    async run({ url }, { photos }) {
      const photo = await sharp({
        create: { width: 4000, height: 3000, channels: 3, background: '#345', noise: noise() },
      })
        .jpeg()
        .toBuffer()
      const owner = createSender(url, { cookie: await newSession(url) })
      await times(photos, () =>
        owner('POST', '/upload?filename=photo.jpg', photo, { 'content-type': 'image/jpeg' }),
      )
      const thumbnail = await sharp({ create: { width: 64, height: 64, channels: 3, background: '#345' } })
        .png()
        .toBuffer()
      const other = createSender(url, { cookie: await newSession(url) })
      const startedAtMs = performance.now()
      const { id } = await other('POST', '/upload?filename=small.png', thumbnail, {
        'content-type': 'image/png',
      })
      await untilFinished(other, id)
      return performance.now() - startedAtMs
    },
  },
  {
    name: 'imports from sources of 1 byte per 5 s, then one of another owner (its time until it ended)',
    environment: { IMPORT_ALLOWED_NETWORKS: '127.0.0.0/8' },
    async run({ url }) {
      const source = await startSource()
      try {
        const send = createSender(url, { cookie: await newSession(url) })
        for (let slot = 0; slot < 16; slot++) {
          await send('POST', '/uploads', { sourceUrl: `${source.url}/slow-${slot}` })
        }
        const other = createSender(url, { cookie: await newSession(url) })
        const startedAtMs = performance.now()
        const { id } = await other('POST', '/uploads', { sourceUrl: `${source.url}/fast` })
        await untilFinished(other, id)
        return performance.now() - startedAtMs
      } finally {
        source.close()
      }
    },
  },
]

function noise() {
  return { type: 'gaussian' as const, mean: 128, sigma: 40 }
}

function announcement(size: number) {
  return { filename: 'a.bin', contentType: 'application/octet-stream', size }
}

async function newSession(url: string): Promise<string> {
  const { headers } = await fetch(`${url}/session`)
  return headers.getSetCookie()[0]?.split(';')[0] ?? ''
}

/** Performs a task several times, `concurrency` of them at once. */
async function times<Result>(count: number, task: (number: number) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = []
  let next = 0
  const perform = async () => {
    while (next < count) results.push(await task(next++))
  }
  await Promise.all(Array.from({ length: concurrency }, perform))
  return results
}

/**
 * Creates the attacker's client. It keeps connections, and takes any status as an answer.
 * @returns a function that sends a request and returns its JSON, or an empty object
 */
function createSender(url: string, common: Record<string, string> = {}) {
  const agent = new Agent({ keepAlive: true })

  return async function send(
    method: string,
    path: string,
    body?: object | Uint8Array,
    headers: Record<string, string> = {},
  ) {
    const bytes = body instanceof Uint8Array ? body : Buffer.from(body ? JSON.stringify(body) : '')
    const type = body instanceof Uint8Array ? 'application/octet-stream' : 'application/json'
    const outgoing = request(`${url}${path}`, {
      method,
      agent,
      headers: {
        'x-forwarded-for': attacker,
        ...common,
        ...(bytes.length > 0 && { 'content-type': type, 'content-length': bytes.length }),
        ...headers,
      },
    })
    const answered = once(outgoing, 'response')
    outgoing.end(bytes)
    const [response] = await answered
    const received = await text(response)
    return received.startsWith('{') ? JSON.parse(received) : {}
  }
}

/** Opens a connection, sends the headers of a body and its first bytes as fast as they are taken, and keeps it open. */
async function sendBody(
  port: number,
  body: { claimedBytes: number; sentBytes: number; asForm?: boolean },
): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').on('error', () => undefined)
  socket.resume()
  const type = body.asForm ? 'multipart/form-data; boundary=b' : 'application/octet-stream'
  socket.write(
    `POST /upload?filename=a.bin HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: ${attacker}\r\n` +
      `Content-Type: ${type}\r\nContent-Length: ${body.claimedBytes}\r\n\r\n`,
  )
  if (body.asForm) {
    socket.write('--b\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n')
  }
  const chunk = new Uint8Array(64 * 1024)
  // Ends early if the server takes no more bytes.
  const giveUp = AbortSignal.timeout(2 * holdMs)
  for (let sent = 0; sent < body.sentBytes && !socket.destroyed; sent += chunk.length) {
    if (socket.write(chunk.subarray(0, Math.min(chunk.length, body.sentBytes - sent)))) continue
    const closed = new AbortController()
    const onClose = () => closed.abort()
    socket.once('close', onClose)
    const drained = await once(socket, 'drain', { signal: AbortSignal.any([giveUp, closed.signal]) }).catch(
      () => undefined,
    )
    socket.off('close', onClose)
    if (!drained) break
  }
  return socket
}

/** Opens an event stream. Resolves when its first bytes arrive, or it is refused. */
async function openStream(port: number, cookie: string): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').on('error', () => undefined)
  socket.write(
    `GET /events HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: ${attacker}\r\nCookie: ${cookie}\r\n\r\n`,
  )
  await Promise.race([once(socket, 'data'), once(socket, 'close')])
  return socket
}

async function hold(sockets: Socket[]): Promise<void> {
  await delay(holdMs)
  for (const socket of sockets) socket.destroy()
}

/** Takes any answer: S3 may refuse, and close the connection before it has read the body. */
async function put(url: string, body: Uint8Array<ArrayBuffer>): Promise<void> {
  await fetch(url, { method: 'PUT', body }).catch(() => undefined)
}

async function sendForm(
  { url, fields }: { url: string; fields: Record<string, string> },
  bytes: Uint8Array<ArrayBuffer>,
): Promise<void> {
  const form = new FormData()
  for (const [name, value] of Object.entries(fields)) form.append(name, value)
  form.append('file', new Blob([bytes]))
  await fetch(url, { method: 'POST', body: form })
}

/** Waits until an upload has ended, whatever its outcome, or for `patienceMs`. */
async function untilFinished(send: ReturnType<typeof createSender>, id: string): Promise<void> {
  const deadlineMs = performance.now() + patienceMs
  while (performance.now() < deadlineMs) {
    const { state } = await send('GET', `/uploads/${id}`)
    if (['ready', 'rejected', 'failed'].includes(state)) return
    await delay(100)
  }
}

/** Starts an HTTP server: `/fast` sends a file at once, any other path a byte every 5 s. */
async function startSource() {
  const slow = new Set<ServerResponse>()
  const server = createServer((incoming, response) => {
    if (incoming.url === '/fast') {
      response.end('a file')
      return
    }
    response.writeHead(200, { 'content-length': 1000 })
    slow.add(response)
  })
  const timer = setInterval(() => {
    for (const response of slow) response.write('x')
  }, 5_000)
  // The default of IMPORT_ALLOWED_PORTS is what is used on AWS, so the source's port is one of them.
  await once(server.listen(80, '127.0.0.1'), 'listening')
  return {
    url: 'http://127.0.0.1',
    close() {
      clearInterval(timer)
      server.closeAllConnections()
      server.close()
    },
  }
}
