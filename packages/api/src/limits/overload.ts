import { monitorEventLoopDelay } from 'node:perf_hooks'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { FastifyInstance } from 'fastify'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether the route is served even on overload, as health checks are. */
    servedWhenOverloaded?: true
  }
}

/** Time between two measurements, in ms. */
const sampleMs = 1_000
/** Interval of the timer that counts the turns of the event loop, in ms. */
const resolutionMs = 10

/**
 * Refuses requests while the instance is overloaded, so that it can finish the active ones. Measures once a second.
 *
 * The delay of the event loop is measured in CPU time of this thread: what the instance itself does in one turn. Other
 * processes that keep the machine busy make each turn last longer, but do not make the instance refuse anything.
 *
 * @param limits.eventLoopDelayMs average CPU time of a turn of the event loop, for which other requests wait; 0: no limit
 * @param limits.heapUsedBytes size of V8's used heap; 0: no limit
 * @param limits.rssBytes resident set size of the process; 0: no limit
 */
export function refuseWhenOverloaded(
  app: FastifyInstance,
  limits: { eventLoopDelayMs: number; heapUsedBytes: number; rssBytes: number },
): void {
  const { eventLoopDelayMs, heapUsedBytes, rssBytes } = limits
  if (eventLoopDelayMs === 0 && heapUsedBytes === 0 && rssBytes === 0) return
  const turns = createTurnMeter()
  let isOverloaded = false

  const timer = setInterval(() => {
    const { heapUsed, rss } = process.memoryUsage()
    const turnMs = turns.measure()
    const wasOverloaded = isOverloaded
    isOverloaded =
      exceeds(turnMs, eventLoopDelayMs) || exceeds(heapUsed, heapUsedBytes) || exceeds(rss, rssBytes)
    if (isOverloaded === wasOverloaded) return
    const measured = { eventLoopDelayMs: Math.round(turnMs), heapUsedBytes: heapUsed, rssBytes: rss }
    if (isOverloaded) app.log.warn({ event: 'overloaded', ...measured }, 'overloaded: requests are refused')
    else app.log.info({ event: 'overload-ended', ...measured }, 'no longer overloaded')
  }, sampleMs).unref()
  app.addHook('onClose', async () => {
    clearInterval(timer)
    turns.close()
  })

  app.addHook('onRequest', ({ routeOptions }, _reply, done) => {
    const isRefused = isOverloaded && routeOptions.config.servedWhenOverloaded !== true
    done(isRefused ? new AppError('overloaded') : undefined)
  })
}

function exceeds(value: number, limit: number): boolean {
  return limit > 0 && value > limit
}

/** Measures the CPU time that this thread uses in one turn of the event loop. */
function createTurnMeter() {
  // It records one value each time its timer is called, at most once in a turn.
  const timerCalls = monitorEventLoopDelay({ resolution: resolutionMs })
  timerCalls.enable()
  let cpuBefore = process.threadCpuUsage()

  return {
    /** Returns the average since the last measurement, in ms. */
    measure(): number {
      const cpu = process.threadCpuUsage(cpuBefore)
      cpuBefore = process.threadCpuUsage()
      const cpuMs = (cpu.user + cpu.system) / 1000
      const average = cpuMs / Math.max(1, timerCalls.count)
      timerCalls.reset()
      return average
    },
    close: () => timerCalls.disable(),
  }
}
