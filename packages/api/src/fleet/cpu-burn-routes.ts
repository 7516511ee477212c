import Type from 'typebox'
import type { Api } from '../http/api.ts'
import type { BurnCpu } from './cpu-burn.ts'

/** Milliseconds. Longer ones are as good as many of these. */
const longestMs = 10_000

const LoadParams = Type.Object({ ms: Type.Integer({ minimum: 1, maximum: longestMs }) })
export const BurntCpu = Type.Object({ ms: Type.Integer(), servedBy: Type.String() }, { title: 'BurntCpu' })

/** `/load/:ms`: keeps one core busy for so long, to see the API tier scale. */
export function cpuBurnRoutes(api: Api, { burnCpu, instance }: { burnCpu: BurnCpu; instance: string }): void {
  api.get(
    '/load/:ms',
    { config: { scope: 'admin' }, schema: { params: LoadParams, response: { 200: BurntCpu } } },
    async (request, reply) => {
      const { ms } = request.params
      const left = new AbortController()
      reply.raw.once('close', () => left.abort())
      if (request.socket.destroyed) left.abort()
      await burnCpu(ms, left.signal)
      reply.header('cache-control', 'no-store')
      return { ms, servedBy: instance }
    },
  )
}
