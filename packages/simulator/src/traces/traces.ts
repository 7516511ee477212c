import { join } from 'node:path'
import { namedTraces, type TraceName } from './named-traces.ts'
import { generateTrace, type Sampling, type Trace } from './trace.ts'
import { readTraceFile } from './trace-file.ts'

const traceDirectory = join(import.meta.dirname, '../../traces')

/** The four traces for which the policy must reach its goal. */
export const goalTraces = ['burst', 'diurnal', 'flash-crowd', 'evening']

/**
 * Generates a named trace, or reads a trace from a file.
 * @throws TraceFileError if there is neither a trace nor a file with this name
 */
export function findTrace(name: string, sampling: Sampling): Trace {
  if (isNamed(name)) return generateTrace({ name, ...namedTraces[name] }, sampling)
  return readTraceFile(name === 'evening' ? join(traceDirectory, 'evening.csv') : name, sampling)
}

function isNamed(name: string): name is TraceName {
  return Object.hasOwn(namedTraces, name)
}
