import { once } from 'node:events'
import { createServer } from 'node:http'

/**
 * Answers `GET /health` on loopback, for the container's health check and for the instance's boot. It is started
 * once the worker takes jobs; a worker whose loops end dies of it, so an answer says that it works. It goes on
 * until the process ends.
 *
 * @param options.port 0 for any free one
 * @returns the port
 */
export async function startHealthServer(options: {
  port: number
  instance: string
  version: string
}): Promise<number> {
  const { instance, version } = options
  const server = createServer((request, response) => {
    const found = request.url === '/health'
    const uptime = Math.floor(process.uptime())
    response.writeHead(found ? 200 : 404, { 'content-type': 'application/json', connection: 'close' })
    response.end(found ? JSON.stringify({ status: 'ok', instance, version, uptime }) : undefined)
  })
  server.listen(options.port, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The health server has no port.')
  return address.port
}
