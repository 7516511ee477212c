import { existsSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { generateTrace, type Sampling, type Trace } from './trace.ts'

/** A trace that cannot be read; the message is one sentence. */
export class TraceFileError extends Error {}

/**
 * Reads a trace from a CSV file. The header says which of two kinds it is:
 * - `arrived_s,duration_s`: recorded jobs, in order of arrival;
 * - `from_s,jobs_per_s`: the rate from that second on; jobs are generated from it. The last line ends the trace.
 * @throws TraceFileError with the file and the line
 */
export function readTraceFile(path: string, sampling: Sampling): Trace {
  if (!existsSync(path)) throw new TraceFileError(`${path}: no file and no trace with this name exists`)
  const [header = '', ...lines] = readFileSync(path, 'utf8').trim().split(/\r?\n/)
  const rows = lines.map((line, index) => {
    const [at = Number.NaN, value = Number.NaN, ...rest] = line.split(',').map(Number)
    if (!(at >= 0 && value >= 0) || rest.length > 0) {
      throw new TraceFileError(`${path}, line ${index + 2}: expected two numbers of at least 0`)
    }
    return [at, value] as const
  })
  const unorderedRow = rows.findIndex(([at], index) => at < (rows[index - 1]?.[0] ?? 0))
  if (unorderedRow !== -1)
    throw new TraceFileError(`${path}, line ${unorderedRow + 2}: the time is earlier than in the line before`)
  const name = basename(path).replace(/\.[^.]*$/, '')
  const endS = rows.at(-1)?.[0]
  if (!endS) throw new TraceFileError(`${path}: the trace is empty`)
  switch (header) {
    case 'arrived_s,duration_s':
      return {
        name,
        arrivedS: Float64Array.from(rows, ([at]) => at),
        durationS: Float64Array.from(rows, ([, duration]) => duration),
        endS,
      }
    case 'from_s,jobs_per_s': {
      const highest = rows.reduce((max, [, rate]) => Math.max(max, rate), 0)
      // generateTrace calls this in order of time.
      let row = 0
      const rate = (s: number) => {
        while ((rows[row + 1]?.[0] ?? Number.POSITIVE_INFINITY) <= s) row += 1
        return rows[row]?.[1] ?? 0
      }
      return generateTrace({ name, rate, highest, endS }, sampling)
    }
    default:
      throw new TraceFileError(`${path}: the header must be arrived_s,duration_s or from_s,jobs_per_s`)
  }
}
