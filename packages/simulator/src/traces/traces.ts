import { join } from 'node:path'
import { namedTraces, type TraceName } from './named-traces.ts'
import { type DurationSpread, drawTrace, type Trace } from './trace.ts'
import { readTraceFile } from './trace-file.ts'

const recorded = join(import.meta.dirname, '../../traces')

/** The four traces that the goal is set for. */
export const goalTraces = ['burst', 'diurnal', 'flash-crowd', 'evening']

/**
 * Finds a trace by its name, or reads it from a file.
 * @throws UnusableTrace when there is neither
 */
export function findTrace(name: string, draw: { seed: number; durations: DurationSpread }): Trace {
  if (isNamed(name)) return drawTrace({ name, ...namedTraces[name] }, draw)
  return readTraceFile(name === 'evening' ? join(recorded, 'evening.csv') : name, draw)
}

function isNamed(name: string): name is TraceName {
  return Object.hasOwn(namedTraces, name)
}
