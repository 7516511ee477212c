import { once } from 'node:events'
import { createServer, type Server } from 'node:net'

/** Returns the port that a TCP server listens on. */
export function portOf(server: Server): number {
  const address = server.address()
  if (address === null || typeof address === 'string')
    throw new Error('The server does not listen on a TCP port.')
  return address.port
}

/** Returns a port of 127.0.0.1 that is free now. Another process may take it before the caller does. */
export async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const port = portOf(server)
  server.close()
  await once(server, 'close')
  return port
}
