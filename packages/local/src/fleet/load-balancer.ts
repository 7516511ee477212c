import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { hasErrorCode } from '../setup/error-code.ts'
import { StartError } from '../setup/start-error.ts'
import { portOf } from '../setup/tcp-port.ts'
import { startHealthChecks } from './health-checks.ts'
import { proxyLine } from './proxy-line.ts'
import { respondUnavailable } from './unavailable-response.ts'

const noResponse = 'The API instance does not respond. It may have received the request.'

/** Time in which an instance must accept a connection, in ms. A stopped one accepts only as many as its backlog has. */
const connectTimeoutMs = 2_000
/** A client that sends nothing is disconnected after this time, in ms, as by an ALB. Browsers connect in advance. */
const unusedTimeoutMs = 60_000

export type LoadBalancer = Awaited<ReturnType<typeof startLoadBalancer>>

/** A client's connection to an instance. `activeAt`: when bytes last moved, in ms of `performance.now()`. */
type Connection = { socket: Socket; activeAt: number }

type Instance = {
  port: number
  isHealthy: boolean
  connections: Set<Connection>
  stopChecks: () => void
}

/**
 * Local equivalent of AWS' load balancer: accepts connections and forwards each one to the next healthy instance
 * (round robin). If none is healthy, it tries all. An instance that misses a health check gets no new connections
 * until it passes one, and connections on which it does nothing are closed.
 *
 * It forwards connections, not requests, so it does not change uploads and event streams. Each connection to an instance
 * begins with a line that names the client's address (`proxy-line.ts`). It follows that:
 * - All requests of a connection go to one instance, which is chosen when the first byte arrives.
 * - A request is never sent to two instances: another one is tried only before the first byte is forwarded.
 * - If an instance does not respond, only the first request of a connection gets 503. During a later one the
 *   connection is closed, since a response may have begun. Clients repeat such requests on a new connection
 *   if they are idempotent (RFC 9112, 9.3.1).
 * - Clients cannot write the address of another one: instances trust no `X-Forwarded-For`.
 *
 * @param options.port 0 for any free port
 * @param options.print prints a line for the user when an instance stops or starts responding
 * @returns the port; `add`, which takes an instance's loopback port and its name; `remove`; and `close()`
 * @throws StartError if the port is in use or not permitted
 */
export async function startLoadBalancer(options: {
  host: string
  port: number
  print?: (line: string) => void
}) {
  const instances: Instance[] = []
  const openSockets = new Set<Socket>()
  let forwarded = 0

  /** Returns the instances in the order to try: the next one of the round robin first, then the others. */
  const roundRobin = () => {
    const healthy = instances.filter(({ isHealthy }) => isHealthy)
    const candidates = healthy.length > 0 ? healthy : instances
    const first = forwarded++ % Math.max(candidates.length, 1)
    return [...candidates.slice(first), ...candidates.slice(0, first)]
  }

  const track = (socket: Socket) => {
    openSockets.add(socket)
    socket.once('close', () => openSockets.delete(socket))
    return socket
  }

  const forward = (client: Socket, candidates: Instance[]) => {
    const [instance, ...remaining] = candidates
    if (client.destroyed) return
    if (!instance) {
      respondUnavailable(client, 'No API instance can be reached.')
      return
    }
    const { port } = instance
    const socket = track(connect({ host: '127.0.0.1', port, allowHalfOpen: true, noDelay: true }))
    const timer = setTimeout(() => socket.destroy(), connectTimeoutMs)
    const abandon = () => socket.destroy()
    const tryNext = () => {
      clearTimeout(timer)
      client.off('close', abandon)
      forward(client, remaining)
    }
    // 'close' follows.
    socket.on('error', () => {})
    socket.once('close', tryNext)
    client.once('close', abandon)
    socket.once('connect', () => {
      clearTimeout(timer)
      socket.off('close', tryNext)
      socket.write(proxyLine(client))
      pipeBoth(client, socket, instance)
    })
  }

  /** Copies bytes between a client and its instance until one of them closes the connection. */
  const pipeBoth = (client: Socket, socket: Socket, instance: Instance) => {
    const connection = { socket, activeAt: performance.now() }
    const setActive = () => {
      connection.activeAt = performance.now()
    }
    instance.connections.add(connection)
    socket.on('data', setActive).on('drain', setActive)
    socket.once('end', () => {
      if (socket.bytesRead > 0) client.end()
      else socket.destroy()
    })
    // If one side disconnects abruptly, the other side is closed as well.
    socket.once('close', (hadError) => {
      instance.connections.delete(connection)
      if (socket.bytesRead === 0) respondUnavailable(client, noResponse)
      else if (hadError) client.destroy()
      else client.destroySoon()
    })
    client.pipe(socket)
    socket.pipe(client, { end: false })
  }

  const accept = (client: Socket) => {
    track(client)
    // A client that resets its connection is not an error of ours; 'close' follows.
    client.on('error', () => {})
    client.setTimeout(unusedTimeoutMs, () => client.destroy())
    client.once('readable', () => {
      client.setTimeout(0)
      // Readable without bytes: the client closed the connection without a request.
      if (client.readableLength === 0) client.destroy()
      else forward(client, roundRobin())
    })
  }

  const add = (port: number, name = `the instance on port ${port}`) => {
    const checks = startHealthChecks({
      port,
      onPassed() {
        if (!instance.isHealthy) options.print?.(`${name} responds to health checks again.`)
        instance.isHealthy = true
      },
      onMissed(startedAt) {
        if (instance.isHealthy) options.print?.(`${name} does not respond to health checks.`)
        instance.isHealthy = false
        // Connections that are newer than the check wait for the next one.
        for (const { socket, activeAt } of instance.connections) if (activeAt < startedAt) socket.destroy()
      },
    })
    const instance: Instance = { port, isHealthy: true, connections: new Set(), stopChecks: checks.stop }
    instances.push(instance)
  }

  const remove = (port: number) => {
    const index = instances.findIndex((instance) => instance.port === port)
    const [removed] = index === -1 ? [] : instances.splice(index, 1)
    removed?.stopChecks()
  }

  const listen = async (host: string, port: number) => {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, accept)
    server.listen({ host, port, exclusive: true })
    await once(server, 'listening')
    return server
  }

  const servers: Server[] = []
  const close = async () => {
    for (const { stopChecks } of instances.splice(0)) stopChecks()
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
    return { port, add, remove, close }
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
