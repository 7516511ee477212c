import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { StartError } from '../setup/start-error.ts'

const unavailable = [
  'HTTP/1.1 503 Service Unavailable',
  'content-type: text/plain; charset=utf-8',
  'connection: close',
  'retry-after: 1',
  '',
  'No API instance is running at the moment.\n',
].join('\r\n')

export type LoadBalancer = Awaited<ReturnType<typeof startLoadBalancer>>

/**
 * Stands for the cloud's load balancer: takes connections and passes each one to the next instance in turn.
 * It works on connections, not on requests, so uploads and event streams pass untouched.
 * @param options.port 0 for a free one
 * @returns the port; `add` and `remove` of instances by their loopback port; and `close()`
 * @throws StartError when the port is in use or not allowed
 */
export async function startLoadBalancer(options: { host: string; port: number }) {
  const instances: number[] = []
  const open = new Set<Socket>()
  let turn = 0

  /** Instances in the order to try them: the next one in turn first, then the rest. */
  const inTurn = () => {
    const first = turn++ % Math.max(instances.length, 1)
    return [...instances.slice(first), ...instances.slice(0, first)]
  }

  const track = (socket: Socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    return socket
  }

  const passOn = (client: Socket, candidates: number[]) => {
    const [port, ...others] = candidates
    if (client.destroyed) return
    if (port === undefined) {
      client.end(unavailable)
      return
    }
    const instance = track(connect({ host: '127.0.0.1', port, allowHalfOpen: true, noDelay: true }))
    const tryNext = () => passOn(client, others)
    const giveUp = () => instance.destroy()
    instance.once('error', tryNext)
    client.once('close', giveUp)
    instance.once('connect', () => {
      instance.off('error', tryNext).on('error', () => client.destroy())
      client.off('close', giveUp)
      // Either end gone without a farewell means that the other one has nobody to talk to.
      instance.once('close', () => client.destroySoon())
      client.once('close', () => instance.destroy())
      client.pipe(instance)
      instance.pipe(client)
    })
  }

  const accept = (client: Socket) => {
    track(client)
    // A client that vanishes is its own affair; its 'close' follows.
    client.on('error', () => {})
    passOn(client, inTurn())
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
    for (const socket of open) socket.destroy()
    await Promise.all(closed)
  }

  try {
    const server = await listen(options.host, options.port)
    servers.push(server)
    const port = portOf(server)
    // Browsers try ::1 first for "localhost"; without this, another program there would answer for us.
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
    throw refusal(error, options)
  }
}

function portOf(server: Server) {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('A TCP server has no port.')
  return address.port
}

const hasCode = (error: unknown, ...codes: string[]) =>
  error instanceof Error && 'code' in error && codes.includes(String(error.code))

/** Listens where the machine has IPv6; many containers have not. */
async function listenIfPossible(listen: () => Promise<Server>) {
  try {
    return [await listen()]
  } catch (error) {
    if (hasCode(error, 'EADDRNOTAVAIL', 'EAFNOSUPPORT')) return []
    throw error
  }
}

function refusal(error: unknown, { host, port }: { host: string; port: number }) {
  if (hasCode(error, 'EADDRINUSE')) {
    return new StartError(
      `Port ${port} is in use: choose another one with --port, as in npm start -- --port 3001.`,
    )
  }
  if (hasCode(error, 'EACCES')) {
    return new StartError(`This user may not listen on port ${port}: choose one above 1023 with --port.`)
  }
  if (hasCode(error, 'EADDRNOTAVAIL', 'ENOTFOUND', 'EAI_AGAIN')) {
    return new StartError(`${host} is not an address of this machine: choose another one with --host.`)
  }
  return error
}
