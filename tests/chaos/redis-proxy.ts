import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'

/** A connection of a service that is still open to a demoted Redis, which refused a write on it. In ms since 1970. */
export type StaleConnection = { service: string; firstRefusedAtMs: number }

type Connection = {
  service: string
  port: number
  client: Socket
  upstream: Socket
  firstRefusedAtMs?: number
}

export type RedisProxy = ReturnType<typeof createRedisProxy>

/**
 * Creates a TCP proxy in front of a Redis primary, as a DNS name is on AWS: it decides where new connections go, and a
 * connection stays where it is until somebody closes it.
 *
 * @param firstPort the loopback port of the Redis to which connections go at first
 */
export function createRedisProxy(firstPort: number) {
  let port = firstPort
  const servers: Server[] = []
  const connections = new Set<Connection>()

  function accept(service: string, client: Socket): void {
    const upstream = connect({ host: '127.0.0.1', port, noDelay: true })
    const connection: Connection = { service, port, client, upstream }
    connections.add(connection)
    const close = () => {
      connections.delete(connection)
      client.destroy()
      upstream.destroy()
    }
    for (const socket of [client, upstream]) socket.on('error', () => undefined).once('close', close)
    upstream.on('data', (chunk: Buffer) => {
      if (connection.port !== port && chunk.includes('-READONLY')) {
        connection.firstRefusedAtMs ??= Date.now()
      }
    })
    client.pipe(upstream)
    upstream.pipe(client)
  }

  return {
    /** Opens a port for one service. @returns the URL of Redis for it */
    async listen(service: string): Promise<string> {
      const server = createServer({ noDelay: true }, (client) => accept(service, client))
      servers.push(server)
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      const address = server.address()
      if (address === null || typeof address === 'string') throw new Error('The proxy has no port.')
      return `redis://127.0.0.1:${address.port}`
    },
    /** Sends new connections to another Redis. Open connections stay. */
    pointTo(nextPort: number): void {
      port = nextPort
    },
    /** Closes all connections that are not to the current Redis. @returns those that were refused a write */
    cutOthers(): StaleConnection[] {
      const stale: StaleConnection[] = []
      for (const { port: connectedTo, client, service, firstRefusedAtMs } of connections) {
        if (connectedTo === port) continue
        if (firstRefusedAtMs !== undefined) stale.push({ service, firstRefusedAtMs })
        client.destroy()
      }
      return stale
    },
    async close(): Promise<void> {
      for (const { client } of connections) client.destroy()
      for (const server of servers) server.close()
    },
  }
}
