import { averages } from './averages.ts'
import type { Scaler } from './scaler.ts'

/**
 * What AWS documents for workers behind SQS ("Scaling policy based on Amazon SQS"): target tracking of the
 * messages that wait for each instance, at what an instance gets done within the latency that is acceptable.
 * Target tracking scales out after 3 periods of a minute above the target, in after 15 below nine tenths of it.
 * @param targetBacklog acceptable latency ÷ average time for a message, in jobs an instance
 */
export function createBacklogScaler(targetBacklog: number, delayS: number): Scaler {
  return {
    name: 'backlog per instance',
    periodS: 60,
    delayS,
    decide({ points, desired, inService, starting }) {
      const history = averages(points, 60, 15).map((point) => point.waiting / Math.max(1, point.inService))
      const value = history.at(-1) ?? 0
      const wanted = Math.ceil((Math.max(1, inService) * value) / targetBacklog)
      if (history.length >= 3 && history.slice(-3).every((backlog) => backlog > targetBacklog)) {
        return Math.max(desired, wanted)
      }
      const low = history.length === 15 && history.every((backlog) => backlog < 0.9 * targetBacklog)
      return low && starting === 0 ? Math.min(desired, wanted) : desired
    },
  }
}
