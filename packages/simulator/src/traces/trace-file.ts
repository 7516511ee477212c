import { existsSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { type DurationSpread, drawTrace, type Trace } from './trace.ts'

/** Why a trace cannot be read, in one sentence. */
export class UnusableTrace extends Error {}

/**
 * Reads a trace from a CSV file of one of two kinds, told by its first line:
 * - `arrived_s,duration_s`: each job as it was recorded, in order of arrival;
 * - `from_s,jobs_per_s`: the rate from that second on; jobs are drawn from it. The last line only ends it.
 * @throws UnusableTrace that names the file and the line
 */
export function readTraceFile(path: string, draw: { seed: number; durations: DurationSpread }): Trace {
  if (!existsSync(path)) throw new UnusableTrace(`${path}: there is no such file, nor a trace of that name`)
  const [header = '', ...lines] = readFileSync(path, 'utf8').trim().split(/\r?\n/)
  const rows = lines.map((line, index) => {
    const [at = Number.NaN, value = Number.NaN, ...rest] = line.split(',').map(Number)
    if (!(at >= 0 && value >= 0) || rest.length > 0) {
      throw new UnusableTrace(`${path}, line ${index + 2}: two numbers that are not negative are wanted`)
    }
    return [at, value] as const
  })
  const disorder = rows.findIndex(([at], index) => at < (rows[index - 1]?.[0] ?? 0))
  if (disorder !== -1) throw new UnusableTrace(`${path}, line ${disorder + 2}: time runs backwards`)
  const name = basename(path).replace(/\.[^.]*$/, '')
  const endS = rows.at(-1)?.[0]
  if (!endS) throw new UnusableTrace(`${path}: there is no time in it`)
  switch (header) {
    case 'arrived_s,duration_s':
      return {
        name,
        arrivedS: Float64Array.from(rows, ([at]) => at),
        durationS: Float64Array.from(rows, ([, duration]) => duration),
        endS,
      }
    case 'from_s,jobs_per_s': {
      const highest = rows.reduce((most, [, rate]) => Math.max(most, rate), 0)
      // Thinning asks in order of time.
      let row = 0
      const rate = (s: number) => {
        while ((rows[row + 1]?.[0] ?? Number.POSITIVE_INFINITY) <= s) row += 1
        return rows[row]?.[1] ?? 0
      }
      return drawTrace({ name, rate, highest, endS }, draw)
    }
    default:
      throw new UnusableTrace(`${path}: its first line is neither arrived_s,duration_s nor from_s,jobs_per_s`)
  }
}
