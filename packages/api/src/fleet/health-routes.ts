import Type from 'typebox'
import type { Api } from '../http/api.ts'
import type { CheckReadiness } from './readiness.ts'

export const Health = Type.Object(
  {
    status: Type.Literal('ok'),
    instance: Type.String(),
    version: Type.String(),
    uptime: Type.Integer({ description: 'seconds since this instance started' }),
  },
  { title: 'Health' },
)

const Check = Type.Union([Type.Literal('ok'), Type.Literal('failed'), Type.Literal('full')], {
  description: '`full`: it responds, but its disk has no space left',
})
export const Ready = Type.Object(
  {
    status: Type.Union([Type.Literal('ready'), Type.Literal('unready'), Type.Literal('draining')]),
    checks: Type.Object({ redis: Check, s3: Check, sqs: Check }),
  },
  { title: 'Readiness' },
)

/**
 * Adds `/health` and `/ready`. `/health` checks that the process is running. It checks no dependency, so a
 * failing Redis does not restart instances. `/ready` checks that the instance can serve requests. Both are served on
 * overload: without the instance, the others would have to do more.
 *
 * @param deps.draining aborts when the instance is about to shut down
 */
export function healthRoutes(
  api: Api,
  deps: { checkReadiness: CheckReadiness; instance: string; version: string; draining: AbortSignal },
): void {
  const { checkReadiness, instance, version, draining } = deps

  const config = { rateLimit: false, untracked: true, anyHost: true, servedWhenOverloaded: true } as const
  api.get('/health', { config, schema: { response: { 200: Health } }, logLevel: 'warn' }, async () => ({
    status: 'ok' as const,
    instance,
    version,
    uptime: Math.floor(process.uptime()),
  }))

  api.get(
    '/ready',
    {
      config,
      schema: { response: { 200: Ready, 503: Ready } },
      logLevel: 'warn',
    },
    async (_, reply) => {
      const { ready, checks } = await checkReadiness()
      if (draining.aborted) return reply.code(503).send({ status: 'draining' as const, checks })
      return reply
        .code(ready ? 200 : 503)
        .send({ status: ready ? ('ready' as const) : ('unready' as const), checks })
    },
  )
}
