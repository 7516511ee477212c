import { once } from 'node:events'
import { createServer } from 'node:http'
import type { ReadMetrics } from './metrics.ts'

/**
 * Serves `GET /metrics` without authentication on a port of its own, so that Prometheus reads each instance and not one
 * behind a load balancer. The server runs until the process exits.
 *
 * @param options.host address to listen on. Everyone who reaches it can read the metrics
 * @param options.port 0: any free port
 * @returns the port
 */
export async function startMetricsServer(options: {
  host: string
  port: number
  metrics: ReadMetrics
}): Promise<number> {
  const { host, port, metrics } = options
  const server = createServer((request, response) => {
    response.setHeader('connection', 'close')
    if (request.url?.split('?', 1)[0] !== '/metrics') return void response.writeHead(404).end()
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return void response.writeHead(405, { allow: 'GET, HEAD' }).end()
    }
    metrics.read().then(
      (text) =>
        response.writeHead(200, { 'content-type': metrics.contentType, 'cache-control': 'no-store' }).end(text),
      () => response.writeHead(500).end(),
    )
  })
  server.listen(port, host)
  await once(server, 'listening')
  // It alone does not keep the process running.
  server.unref()
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The metrics server has no port.')
  return address.port
}
