import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'

/**
 * Closes, with the instance, connections that never carried a request, as browsers open them ahead of need.
 * Node counts them as neither idle nor active, so that closing would wait until their clients go.
 */
export function closeUnusedConnections(app: FastifyInstance & { server: Server }): void {
  const unused = new Set<Socket>()
  app.server.on('connection', (socket: Socket) => {
    unused.add(socket)
    socket.once('close', () => unused.delete(socket))
  })
  app.server.on('request', ({ socket }) => unused.delete(socket))
  app.addHook('preClose', async () => {
    for (const socket of unused) socket.destroy()
  })
}
