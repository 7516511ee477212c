import { once } from 'node:events'
import { createServer } from 'node:http'
import type { Logger } from 'pino'
import type { ReadMetrics } from './metrics.ts'

/**
 * Serves `GET /metrics` without authentication on a port of its own, so that Prometheus reads each instance and not one
 * behind a load balancer. The server runs until the process exits.
 *
 * @param options.config.metricsHost address to listen on. Everyone who reaches it can read the metrics
 * @param options.config.metricsPort 0: any free port; undefined: there is no server
 * @returns the port
 */
export async function startMetricsServer(options: {
  config: { metricsHost: string; metricsPort: number | undefined }
  metrics: ReadMetrics
  log: Pick<Logger, 'info' | 'warn'>
}): Promise<number | undefined> {
  const { metrics, log } = options
  const { metricsHost: host, metricsPort } = options.config
  if (metricsPort === undefined) return undefined
  const server = createServer((request, response) => {
    response.setHeader('connection', 'close')
    if (request.url?.split('?', 1)[0] !== '/metrics') return void response.writeHead(404).end()
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return void response.writeHead(405, { allow: 'GET, HEAD' }).end()
    }
    metrics.read().then(
      (text) => {
        response
          .writeHead(200, { 'content-type': metrics.contentType, 'cache-control': 'no-store' })
          .end(text)
      },
      (error: unknown) => {
        log.warn({ err: error, event: 'metrics-failed' }, 'metrics could not be read')
        response.writeHead(500).end()
      },
    )
  })
  server.listen(metricsPort, host)
  await once(server, 'listening')
  // It alone does not keep the process running.
  server.unref()
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The metrics server has no port.')
  log.info({ event: 'metrics', host, port: address.port }, 'GET /metrics is available')
  return address.port
}
