import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'

/** Bytes that the fake clamd, and the real one of tests, call malware. */
export const testSignature = 'MILLRACE-TEST-SIGNATURE'

/**
 * What the fake clamd does with files: `scan` them, say that it failed (`error`), close the connection after the first
 * bytes (`close`), never reply (`hang`), never take bytes (`deaf`), reply later (`hold`), or send other bytes in place of a
 * reply and keep the connection open, or close it (`end`).
 */
export type ClamdMode =
  | 'scan'
  | 'error'
  | 'close'
  | 'hang'
  | 'deaf'
  | 'hold'
  | { bytes: string; endsThen: boolean }

export type FakeClamd = Awaited<ReturnType<typeof startFakeClamd>>

/**
 * Starts a server of clamd's protocol: INSTREAM and VERSION with the prefix `z` (clamd(8)).
 *
 * @param options.path listens on a Unix socket; otherwise on a TCP port of loopback
 * @param options.port listens on this port; default: any free one
 * @param options.maxBytes clamd's StreamMaxLength
 */
export async function startFakeClamd(options: { path?: string; port?: number; maxBytes?: number } = {}) {
  const { path, port = 0, maxBytes = Number.POSITIVE_INFINITY } = options
  const sockets = new Set<Socket>()
  const files: { bytes: Buffer; chunkSizes: number[] }[] = []
  const changed = new Set<() => void>()
  let mode: ClamdMode = 'scan'
  let scans = 0
  let active = 0
  let maxActive = 0
  let release = Promise.withResolvers<void>()

  const server = createServer((socket) => {
    sockets.add(socket)
    let isScan = false
    socket.on('error', () => undefined)
    socket.on('close', () => {
      sockets.delete(socket)
      if (isScan) active -= 1
    })
    void serve(socket, () => {
      isScan = true
      scans += 1
      active += 1
      maxActive = Math.max(maxActive, active)
      for (const check of changed) check()
    }).catch(() => socket.destroy())
  })

  async function serve(socket: Socket, onScan: () => void): Promise<void> {
    const reader = readerOf(socket)
    const command = await reader.until(0)
    if (command === 'zVERSION') return void socket.end('ClamAV 1.0.0-fake/1/today\0')
    if (command !== 'zINSTREAM') return void socket.end('UNKNOWN COMMAND\0')
    // The mode of a scan is that of its beginning, and so is what it waits for.
    const scanMode = mode
    const released = release.promise
    onScan()
    if (scanMode === 'deaf') return void socket.pause()
    const chunks: Buffer[] = []
    let size = 0
    for (;;) {
      const length = (await reader.bytes(4)).readUInt32BE()
      if (length === 0) break
      size += length
      if (size > maxBytes) return void socket.end('INSTREAM size limit exceeded. ERROR\0')
      chunks.push(await reader.bytes(length))
      if (scanMode === 'close') return void socket.destroy()
    }
    files.push({ bytes: Buffer.concat(chunks), chunkSizes: chunks.map((chunk) => chunk.length) })
    if (scanMode === 'hang') return
    if (scanMode === 'hold') await released
    if (scanMode === 'error') return void socket.end("stream: Can't create temporary file ERROR\0")
    if (typeof scanMode === 'object') {
      return void (scanMode.endsThen ? socket.end(scanMode.bytes) : socket.write(scanMode.bytes))
    }
    const isInfected = Buffer.concat(chunks).includes(testSignature)
    socket.end(isInfected ? 'stream: Millrace.Test FOUND\0' : 'stream: OK\0')
  }

  server.listen(path === undefined ? { port, host: '127.0.0.1' } : { path })
  await once(server, 'listening')
  const address = server.address()
  return {
    url: typeof address === 'string' ? `unix:${address}` : `tcp://127.0.0.1:${address?.port}`,
    port: typeof address === 'string' ? 0 : (address?.port ?? 0),
    /** The files that were sent completely. */
    files,
    /** The number of scans that began. */
    scans: () => scans,
    /** The highest number of scans at once. */
    maxActive: () => maxActive,
    setMode(next: ClamdMode): void {
      mode = next
    },
    /** Lets held files have their verdicts. */
    release(): void {
      release.resolve()
      release = Promise.withResolvers()
    },
    /** Waits until a number of scans has begun. */
    async untilScans(count: number): Promise<void> {
      while (scans < count) {
        const next = Promise.withResolvers<void>()
        changed.add(next.resolve)
        await next.promise
        changed.delete(next.resolve)
      }
    },
    async close(): Promise<void> {
      server.close()
      for (const socket of sockets) socket.destroy()
      await once(server, 'close')
    },
  }
}

/** Reads a socket in pieces. The methods reject when it ends. */
function readerOf(socket: Socket) {
  const chunks: AsyncIterator<Buffer> = socket[Symbol.asyncIterator]()
  let rest = Buffer.alloc(0)

  async function fill(): Promise<void> {
    const { value, done } = await chunks.next()
    if (done) throw new Error('The client closed the connection.')
    rest = Buffer.concat([rest, value])
  }

  return {
    async bytes(count: number): Promise<Buffer> {
      while (rest.length < count) await fill()
      const taken = rest.subarray(0, count)
      rest = rest.subarray(count)
      return taken
    },
    /** Reads up to a byte, which is left out. */
    async until(byte: number): Promise<string> {
      while (!rest.includes(byte)) await fill()
      const text = rest.toString('latin1', 0, rest.indexOf(byte))
      rest = rest.subarray(rest.indexOf(byte) + 1)
      return text
    },
  }
}
