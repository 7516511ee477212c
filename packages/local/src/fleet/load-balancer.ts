import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { hasErrorCode } from '../setup/error-code.ts'
import { StartError } from '../setup/start-error.ts'
import { portOf } from '../setup/tcp-port.ts'

const unavailable = [
  'HTTP/1.1 503 Service Unavailable',
  'content-type: text/plain; charset=utf-8',
  'connection: close',
  'retry-after: 1',
  '',
  'No API instance is running.\n',
].join('\r\n')

export type LoadBalancer = Awaited<ReturnType<typeof startLoadBalancer>>

/**
 * Local equivalent of AWS' load balancer: accepts connections and forwards each one to the next instance
 * (round robin). It forwards connections, not requests, so it does not change uploads and event streams.
 * @param options.port 0 for any free port
 * @returns the port; `add` and `remove`, which take an instance's loopback port; and `close()`
 * @throws StartError if the port is in use or not permitted
 */
export async function startLoadBalancer(options: { host: string; port: number }) {
  const instances: number[] = []
  const openSockets = new Set<Socket>()
  let accepted = 0

  /** Returns the instances in the order to try: the next one of the round robin first, then the others. */
  const roundRobin = () => {
    const first = accepted++ % Math.max(instances.length, 1)
    return [...instances.slice(first), ...instances.slice(0, first)]
  }

  const track = (socket: Socket) => {
    openSockets.add(socket)
    socket.once('close', () => openSockets.delete(socket))
    return socket
  }

  const forward = (client: Socket, candidates: number[]) => {
    const [port, ...remaining] = candidates
    if (client.destroyed) return
    if (port === undefined) {
      client.end(unavailable)
      return
    }
    const instance = track(connect({ host: '127.0.0.1', port, allowHalfOpen: true, noDelay: true }))
    const tryNext = () => forward(client, remaining)
    const abandon = () => instance.destroy()
    instance.once('error', tryNext)
    client.once('close', abandon)
    instance.once('connect', () => {
      instance.off('error', tryNext).on('error', () => client.destroy())
      client.off('close', abandon)
      // If one side disconnects abruptly, the other side is closed as well.
      instance.once('close', () => client.destroySoon())
      client.once('close', () => instance.destroy())
      client.pipe(instance)
      instance.pipe(client)
    })
  }

  const accept = (client: Socket) => {
    track(client)
    // A client that resets its connection is not an error of ours; 'close' follows.
    client.on('error', () => {})
    forward(client, roundRobin())
  }

  const listen = async (host: string, port: number) => {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, accept)
    server.listen({ host, port, exclusive: true })
    await once(server, 'listening')
    return server
  }

  const servers: Server[] = []
  const close = async () => {
    const closed = servers.map((server) => once(server, 'close'))
    for (const server of servers) server.close()
    for (const socket of openSockets) socket.destroy()
    await Promise.all(closed)
  }

  try {
    const server = await listen(options.host, options.port)
    servers.push(server)
    const port = portOf(server)
    // Browsers try ::1 first for "localhost". Without this, another program on ::1 would receive the requests.
    if (options.host === '127.0.0.1') servers.push(...(await listenIfPossible(() => listen('::1', port))))
    return {
      port,
      add: (instance: number) => void instances.push(instance),
      remove(instance: number) {
        const index = instances.indexOf(instance)
        if (index !== -1) instances.splice(index, 1)
      },
      close,
    }
  } catch (error) {
    await close()
    throw toStartError(error, options)
  }
}

/** Listens if the machine has IPv6; many containers do not. */
async function listenIfPossible(listen: () => Promise<Server>) {
  try {
    return [await listen()]
  } catch (error) {
    if (hasErrorCode(error, 'EADDRNOTAVAIL', 'EAFNOSUPPORT')) return []
    throw error
  }
}

/** Returns a StartError for errors that the user can fix, and other errors unchanged. */
function toStartError(error: unknown, { host, port }: { host: string; port: number }) {
  if (hasErrorCode(error, 'EADDRINUSE')) {
    return new StartError(
      `Port ${port} is in use: choose another one with --port, for example npm start -- --port 3001.`,
    )
  }
  if (hasErrorCode(error, 'EACCES')) {
    return new StartError(
      `This user is not allowed to listen on port ${port}: choose a port above 1023 with --port.`,
    )
  }
  if (hasErrorCode(error, 'EADDRNOTAVAIL', 'ENOTFOUND', 'EAI_AGAIN')) {
    return new StartError(`${host} is not an address of this machine: choose another one with --host.`)
  }
  return error
}
