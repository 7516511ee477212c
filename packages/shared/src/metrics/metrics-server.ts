import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Logger } from 'pino'
import { nodeHttp } from '../service/node-http.ts'
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
  log: Pick<Logger, 'info'>
}): Promise<number | undefined> {
  const { metrics, log } = options
  const { metricsHost: host, metricsPort } = options.config
  if (metricsPort === undefined) return undefined
  const server = nodeHttp.createServer((request, response) => {
    const [path] = request.url?.split('?', 1) ?? []
    if (path === '/metrics') return sendMetrics(metrics, request, response)
    response.writeHead(404, { connection: 'close' }).end()
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

/** Answers a request for the metrics. */
export function sendMetrics(
  metrics: ReadMetrics,
  { method }: IncomingMessage,
  response: ServerResponse,
): void {
  response.setHeader('connection', 'close')
  if (method !== 'GET' && method !== 'HEAD') {
    response.writeHead(405, { allow: 'GET, HEAD' }).end()
    return
  }
  metrics.read().then(
    (text) => {
      response.writeHead(200, { 'content-type': metrics.contentType, 'cache-control': 'no-store' }).end(text)
    },
    // A fault of ours. What can fail, such as Redis, is left out by `beforeRead`.
    () => response.writeHead(500).end(),
  )
}
