import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Options, readOptions, usage, WrongOption } from './options.ts'
import { drawChart } from './report/draw-chart.ts'
import { reportOf } from './report/print-report.ts'
import { summarize } from './report/summary.ts'
import { oracle, others, ours } from './scaler-setups.ts'
import { searchPolicy } from './search-policy.ts'
import { seriesPeriodS, simulate } from './simulation/simulate.ts'
import { countBursts } from './traces/count-bursts.ts'
import { UnusableTrace } from './traces/trace-file.ts'
import { findTrace, goalTraces } from './traces/traces.ts'

const say = (text: string) => process.stdout.write(`${text}\n`)

/** Runs all policies on one trace, prints how they did and draws ours beside the oracle. */
function compare(name: string, { conditions, durations, svgDirectory }: Options) {
  const trace = findTrace(name, { seed: conditions.seed, durations })
  const run = ({ scaler, limits }: ReturnType<typeof ours>) =>
    simulate(trace, scaler, { ...conditions, limits })
  const startedAt = performance.now()
  const [first, second] = [run(oracle(conditions.limits)), run(ours(conditions.limits))]
  const rest = others(trace, conditions).map((each) => summarize(run(each)))
  const bursts = countBursts(trace)
  say(reportOf(trace.name, bursts, summarize(first), [summarize(second), ...rest]))

  mkdirSync(svgDirectory, { recursive: true })
  const file = join(svgDirectory, `${trace.name}.svg`)
  const drawn = [
    { label: 'reactive oracle', colour: '#d08a00', series: first.series },
    { label: 'Millrace', colour: '#0b6bcb', series: second.series },
  ]
  writeFileSync(file, drawChart(trace.name, drawn, seriesPeriodS))
  const tookS = (performance.now() - startedAt) / 1000
  say(`  ${(2 + rest.length) * trace.arrivedS.length} jobs in ${tookS.toFixed(1)} s; drawn in ${file}\n`)
}

function main() {
  const options = readOptions(process.argv.slice(2))
  if (!options) return say(usage)
  const names = options.trace === undefined ? goalTraces : [options.trace]
  if (options.searchS !== undefined) return searchPolicy(names, options, options.searchS, say)
  for (const name of names) compare(name, options)
}

try {
  main()
} catch (error) {
  if (!(error instanceof WrongOption || error instanceof UnusableTrace)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 2
}
