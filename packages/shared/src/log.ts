import { type Logger, pino } from 'pino'

/**
 * A process's log: one JSON object a line on standard output.
 *
 * @param options.level pino's level
 * @param options.instance names the process among its peers
 */
export function createLog({ level, instance }: { level: string; instance: string }): Logger {
  return pino({ level, base: { instance } })
}
