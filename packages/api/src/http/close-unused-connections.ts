import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'

/**
 * Closes connections without any request when the app closes. Browsers open such connections in advance. Node
 * counts them neither as idle nor as active, so closing the app would wait until their clients disconnect.
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
