import type { Server } from 'node:http'
import { isIP, type Socket } from 'node:net'
import { closeWithProblem } from '../requests/raw-problem.ts'

/** Longest line of version 1 with its end, in bytes (PROXY protocol, 2.1). */
const maxLineBytes = 107
const lineEnd = '\r\n'
/** Client's and server's address, then their ports. `UNKNOWN`: the balancer's own connection, such as a health check. */
const lineForm = /^PROXY (?:UNKNOWN(?: .*)?|TCP[46] (\S+) (\S+) \d{1,5} \d{1,5})$/

/**
 * Makes an HTTP server expect one line of the PROXY protocol, version 1, at the start of each connection. In it, a load
 * balancer that forwards connections names the address of the client. It could not name it in `X-Forwarded-For` without
 * parsing every request, in which clients could send that header themselves. A connection without the line is closed with
 * a problem.
 *
 * https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
 *
 * @param server has no listener of its own for connections yet
 * @param options.timeoutMs time in which the line must arrive, in ms
 */
export function acceptProxyProtocol(server: Server, { timeoutMs }: { timeoutMs: number }): void {
  // Node's own listener. Connections may be passed to it later (Node documentation, http.Server, event 'connection').
  const parseHttp = server.listeners('connection')
  server.removeAllListeners('connection')
  server.on('connection', (socket: Socket) => {
    readLine(socket, timeoutMs, (line) => {
      const found = lineForm.exec(line)
      const [, client, local] = found ?? []
      if (!found || (client !== undefined && !(isIP(client) && isIP(local ?? '')))) {
        closeWithProblem(socket, 'invalid_request')
        return
      }
      if (client !== undefined) setAddresses(socket, { remoteAddress: client, localAddress: local })
      for (const listener of parseHttp) listener.call(server, socket)
    })
  })
}

/** Reads the first line of a connection, and leaves the rest unread. A longer line is passed on without its end. */
function readLine(socket: Socket, timeoutMs: number, use: (line: string) => void): void {
  let received = Buffer.alloc(0)
  const timer = setTimeout(() => socket.destroy(), timeoutMs)
  // 'close' follows.
  const ignoreError = () => undefined
  const stop = () => {
    clearTimeout(timer)
    socket.off('readable', read).off('close', stop).off('error', ignoreError)
  }
  const read = () => {
    const chunk: Buffer | null = socket.read()
    if (chunk === null) {
      if (socket.readableEnded) socket.destroy()
      return
    }
    received = Buffer.concat([received, chunk])
    const end = received.subarray(0, maxLineBytes).indexOf(lineEnd)
    if (end === -1 && received.length < maxLineBytes) return
    stop()
    const line = end === -1 ? received : received.subarray(0, end)
    const rest = received.subarray(line.length + lineEnd.length)
    if (rest.length > 0) socket.unshift(rest)
    use(line.toString('latin1'))
  }
  socket.on('readable', read).once('close', stop).on('error', ignoreError)
}

/** Replaces the addresses that a socket shows. They are getters of its prototype. */
function setAddresses(socket: Socket, addresses: Record<string, string | undefined>): void {
  for (const [name, value] of Object.entries(addresses)) Object.defineProperty(socket, name, { value })
}
