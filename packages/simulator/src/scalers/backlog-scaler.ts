import { averages } from './averages.ts'
import type { Scaler } from './scaler.ts'

/**
 * The policy that AWS documents for workers behind SQS ("Scaling policy based on Amazon SQS"): target tracking of
 * the waiting messages per instance. The target is what an instance processes within the acceptable latency.
 * Target tracking scales out after 3 one-minute periods above the target, and in after 15 below 90 % of it.
 * @param targetBacklog acceptable latency ÷ average time for a message, in jobs per instance
 * @param delayS from the end of a period until an alarm has acted on it, in seconds
 */
export function createBacklogScaler(targetBacklog: number, delayS: number): Scaler {
  return {
    name: 'backlog per instance',
    periodS: 60,
    delayS,
    decide({ points, desired, inService, starting }) {
      const history = averages(points, 60, 15).map((point) => point.waiting / Math.max(1, point.inService))
      const value = history.at(-1) ?? 0
      const required = Math.ceil((Math.max(1, inService) * value) / targetBacklog)
      if (history.length >= 3 && history.slice(-3).every((backlog) => backlog > targetBacklog)) {
        return Math.max(desired, required)
      }
      const low = history.length === 15 && history.every((backlog) => backlog < 0.9 * targetBacklog)
      return low && starting === 0 ? Math.min(desired, required) : desired
    },
  }
}
