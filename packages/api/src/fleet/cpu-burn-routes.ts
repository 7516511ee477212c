import Type from 'typebox'
import type { Api } from '../http/api.ts'
import type { BurnCpu } from './cpu-burn.ts'

/** Maximum duration in ms. Several requests replace a longer one. */
const maxMs = 10_000

const CpuBurnParams = Type.Object({ ms: Type.Integer({ minimum: 1, maximum: maxMs }) })
export const CpuBurn = Type.Object({ ms: Type.Integer(), servedBy: Type.String() }, { title: 'CpuBurn' })

/** Adds `/load/:ms`, which keeps one core busy for `ms` milliseconds, to try out scaling of the API tier. */
export function cpuBurnRoutes(api: Api, { burnCpu, instance }: { burnCpu: BurnCpu; instance: string }): void {
  api.get(
    '/load/:ms',
    { config: { scope: 'admin' }, schema: { params: CpuBurnParams, response: { 200: CpuBurn } } },
    async (request, reply) => {
      const { ms } = request.params
      const disconnected = new AbortController()
      reply.raw.once('close', () => disconnected.abort())
      if (request.socket.destroyed) disconnected.abort()
      await burnCpu(ms, disconnected.signal)
      reply.header('cache-control', 'no-store')
      return { ms, servedBy: instance }
    },
  )
}
