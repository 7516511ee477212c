import { once } from 'node:events'
import { createServer } from 'node:http'
import type { ReadMetrics } from '@millrace/shared/metrics/metrics.ts'
import { sendMetrics } from '@millrace/shared/metrics/metrics-server.ts'

/**
 * Serves `GET /health` on loopback, for the container's health check and for the instance's boot, and `GET /metrics`. Start it once the
 * worker takes jobs. A worker whose loops end exits, so a response means that the worker is running. The server runs
 * until the process exits.
 *
 * @param options.port 0: any free port
 * @returns the port
 */
export async function startHealthServer(options: {
  port: number
  instance: string
  version: string
  metrics: ReadMetrics
}): Promise<number> {
  const { instance, version, metrics } = options
  const server = createServer((request, response) => {
    if (request.url === '/metrics') return sendMetrics(metrics, request, response)
    const isHealth = request.url === '/health'
    const uptime = Math.floor(process.uptime())
    response.writeHead(isHealth ? 200 : 404, { 'content-type': 'application/json', connection: 'close' })
    response.end(isHealth ? JSON.stringify({ status: 'ok', instance, version, uptime }) : undefined)
  })
  server.listen(options.port, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The health server has no port.')
  return address.port
}
