import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { OptionError, type Options, readOptions, usage } from './options.ts'
import { formatReport } from './report/format-report.ts'
import { renderChart } from './report/render-chart.ts'
import { summarize } from './report/summary.ts'
import { alternativeSetups, millraceSetup, referenceSetup } from './scaler-setups.ts'
import { searchPolicy } from './search-policy.ts'
import { seriesPeriodS, simulate } from './simulation/simulate.ts'
import { countBursts } from './traces/count-bursts.ts'
import { TraceFileError } from './traces/trace-file.ts'
import { findTrace, goalTraces } from './traces/traces.ts'

const print = (text: string) => process.stdout.write(`${text}\n`)

/** Runs all scalers on one trace, prints a comparison, and writes a chart of Millrace's policy and the reference. */
function compare(name: string, { conditions, durations, svgDirectory }: Options) {
  const trace = findTrace(name, { seed: conditions.seed, durations })
  const run = ({ scaler, limits }: ReturnType<typeof millraceSetup>) =>
    simulate(trace, scaler, { ...conditions, limits })
  const startedAt = performance.now()
  const [reference, millrace] = [
    run(referenceSetup(conditions.limits)),
    run(millraceSetup(conditions.limits)),
  ]
  const alternatives = alternativeSetups(trace, conditions).map((setup) => summarize(run(setup)))
  const bursts = countBursts(trace)
  print(formatReport(trace.name, bursts, summarize(reference), [summarize(millrace), ...alternatives]))

  mkdirSync(svgDirectory, { recursive: true })
  const file = join(svgDirectory, `${trace.name}.svg`)
  const chartLines = [
    { label: 'reference', colour: '#d08a00', series: reference.series },
    { label: 'Millrace', colour: '#0b6bcb', series: millrace.series },
  ]
  writeFileSync(file, renderChart(trace.name, chartLines, seriesPeriodS))
  const elapsedS = (performance.now() - startedAt) / 1000
  print(
    `  ${(2 + alternatives.length) * trace.arrivedS.length} jobs in ${elapsedS.toFixed(1)} s; chart: ${file}\n`,
  )
}

function main() {
  const options = readOptions(process.argv.slice(2))
  if (!options) return print(usage)
  const names = options.trace === undefined ? goalTraces : [options.trace]
  if (options.searchS !== undefined) return searchPolicy(names, options, options.searchS, print)
  for (const name of names) compare(name, options)
}

try {
  main()
} catch (error) {
  if (!(error instanceof OptionError || error instanceof TraceFileError)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 2
}
