import type { ReadMetrics } from '@millrace/shared/metrics/metrics.ts'
import type { Api } from '../http/api.ts'

/**
 * Adds `/metrics`: the metrics of the instance that answers. It is served on overload, when they matter most, and does not
 * count itself.
 */
export function metricsRoutes(api: Api, metrics: ReadMetrics): void {
  const config = { scope: 'admin', untracked: true, servedWhenOverloaded: true } as const
  api.get('/metrics', { config, logLevel: 'warn' }, async (_, reply) => {
    const text = await metrics.read()
    return reply.header('cache-control', 'no-store').type(metrics.contentType).send(text)
  })
}
