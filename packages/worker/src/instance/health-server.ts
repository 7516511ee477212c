import { once } from 'node:events'
import type { ReadMetrics } from '@millrace/shared/metrics/metrics.ts'
import { sendMetrics } from '@millrace/shared/metrics/metrics-server.ts'
import { nodeHttp } from '@millrace/shared/service/node-http.ts'

/**
 * Serves three routes on loopback, until the process exits. Start it before anything that waits for Redis or S3.
 *
 * - `GET /live`: 200 whenever the event loop runs. Redis and S3 do not matter, so that their outage restarts no worker. The
 *   instance restarts a worker without a response (`stacks/user-data.sh`).
 * - `GET /health`: 200 once the worker takes jobs, 503 before. A worker whose loops end exits. The boot of the instance and
 *   the container's health check wait for it.
 * - `GET /metrics`
 *
 * @param options.port 0: any free port
 * @param options.isStarted whether the worker takes jobs
 * @returns the port
 */
export async function startHealthServer(options: {
  port: number
  instance: string
  version: string
  metrics: ReadMetrics
  isStarted: () => boolean
}): Promise<number> {
  const { instance, version, metrics, isStarted } = options
  const server = nodeHttp.createServer((request, response) => {
    if (request.url === '/metrics') return sendMetrics(metrics, request, response)
    const code = codeOf(request.url)
    const status = isStarted() ? 'ok' : 'starting'
    const uptime = Math.floor(process.uptime())
    response.writeHead(code, { 'content-type': 'application/json', connection: 'close' })
    response.end(code === 404 ? undefined : JSON.stringify({ status, instance, version, uptime }))
  })
  server.listen(options.port, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The health server has no port.')
  return address.port

  function codeOf(url: string | undefined): number {
    if (url === '/live') return 200
    if (url === '/health') return isStarted() ? 200 : 503
    return 404
  }
}
