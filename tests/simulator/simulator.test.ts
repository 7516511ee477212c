import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { countDirectionChanges } from '@millrace/simulator/report/direction-changes.ts'
import { compareWithReference } from '@millrace/simulator/report/goal.ts'
import { renderChart } from '@millrace/simulator/report/render-chart.ts'
import { summarize } from '@millrace/simulator/report/summary.ts'
import {
  alternativeSetups,
  millraceSetup,
  referenceSetup,
  type ScalerSetup,
} from '@millrace/simulator/scaler-setups.ts'
import { createFixedScaler } from '@millrace/simulator/scalers/fixed-scaler.ts'
import { type Conditions, seriesPeriodS, simulate } from '@millrace/simulator/simulation/simulate.ts'
import { countBursts } from '@millrace/simulator/traces/count-bursts.ts'
import { namedTraces } from '@millrace/simulator/traces/named-traces.ts'
import { createRandom } from '@millrace/simulator/traces/random.ts'
import { generateTrace, photoDurations, type Trace } from '@millrace/simulator/traces/trace.ts'
import { findTrace } from '@millrace/simulator/traces/traces.ts'
import * as assert from 'uvu/assert'
import { suite } from '../support/suite.ts'

const test = suite('simulator')
const sampling = { seed: 1, durations: photoDurations }
const defaults: Conditions = {
  seed: 1,
  bootS: 75,
  slotsPerWorker: 4,
  limits: { min: 2, max: 40 },
  onDemandBase: 2,
  spot: { interruptionsPerHour: 0.01 },
  prices: { onDemand: 0.0725, spot: 0.029 },
}
const noSpot = { onDemandBase: 1000, spot: { interruptionsPerHour: 0 } }

let directory: string
test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'simulator-'))
})
test.after(() => rm(directory, { recursive: true }))

/** Two minutes of 2 jobs a second, then ten of 20: enough for every policy to resize the fleet. */
function smallTrace(seed = 1): Trace {
  const rate = (s: number) => (s > 120 && s < 720 ? 20 : 2)
  return generateTrace({ name: 'small', rate, highest: 20, endS: 1200 }, { ...sampling, seed })
}

function run(trace: Trace, { scaler, limits }: ScalerSetup, conditions: Partial<Conditions> = {}) {
  return simulate(trace, scaler, { ...defaults, limits, ...conditions })
}

function fixed(workers: number): ScalerSetup {
  return { scaler: createFixedScaler(workers), limits: { min: workers, max: workers } }
}

test('the same seed gives the same outcome, another seed another one', () => {
  const outcome = () => run(smallTrace(), millraceSetup(defaults.limits))
  assert.equal(outcome(), outcome())
  assert.not.equal(run(smallTrace(2), millraceSetup(defaults.limits)).waitS, outcome().waitS)
})

test('no slot is free while a job waits', () => {
  const conditions = { ...defaults, spot: { interruptionsPerHour: 20 } }
  const trace = smallTrace()
  const setups = [
    referenceSetup(conditions.limits),
    millraceSetup(conditions.limits),
    ...alternativeSetups(trace, conditions),
  ]
  for (const { scaler, limits } of setups) {
    let states = 0
    simulate(trace, scaler, { ...conditions, limits }, ({ waiting, freeSlots }) => {
      states += 1
      if (waiting > 0 && freeSlots > 0)
        throw new Error(`${scaler.name}: ${waiting} wait, ${freeSlots} are free`)
      if (freeSlots < 0) throw new Error(`${scaler.name}: more jobs than slots`)
    })
    assert.ok(states > 2 * trace.arrivedS.length)
  }
})

test('jobs start in the order of their arrival', () => {
  const { startOrder, waitS } = run(smallTrace(), millraceSetup(defaults.limits), noSpot)
  assert.equal(
    startOrder,
    Array.from(waitS, (_, job) => job),
  )
})

test('interruptions lose no job, and their repeated work counts as wait', () => {
  // Jobs of 200 s take longer than the notice of 120 s.
  const trace = {
    name: 'long',
    arrivedS: Float64Array.from({ length: 300 }, (_, job) => job),
    durationS: new Float64Array(300).fill(200),
    endS: 300,
  }
  const outcome = run(trace, fixed(20), { onDemandBase: 0, spot: { interruptionsPerHour: 10 } })
  assert.ok(outcome.interruptions > 10)
  assert.ok(outcome.startOrder.length > 300, 'no job was interrupted')
  assert.is(new Set(outcome.startOrder).size, 300)
  const uninterrupted = run(trace, fixed(20), noSpot)
  assert.is(uninterrupted.startOrder.length, 300)
  const total = (waits: Float64Array) => waits.reduce((sum, wait) => sum + wait, 0)
  // The work of an interrupted job is repeated: at least two minutes each.
  const repeatedRuns = outcome.startOrder.length - 300
  assert.ok(total(outcome.waitS) > total(uninterrupted.waitS) + 120 * repeatedRuns)
})

test('an interrupted job finishes only after its next run', () => {
  // One worker at a time: its requeued jobs wait for the boot of the next worker.
  const trace = {
    name: 'one by one',
    arrivedS: new Float64Array(40),
    durationS: new Float64Array(40).fill(150),
    endS: 1,
  }
  const frequentInterruptions = { onDemandBase: 0, spot: { interruptionsPerHour: 20 } }
  const { startOrder, waitS } = run(trace, fixed(1), frequentInterruptions)
  assert.ok(startOrder.length > 40)
  assert.is(new Set(startOrder).size, 40)
  for (const job of startOrder.filter((started, index) => startOrder.indexOf(started) < index)) {
    // Its work until the end of the notice is repeated.
    assert.ok((waitS[job] ?? 0) >= 120)
  }
  // Four slots, and during a notice also the four slots of the draining worker.
  for (const wait of waitS.subarray(8)) assert.ok(wait >= 150)
})

test('waits agree with the Erlang C formula for M/M/c', () => {
  const [servers, jobs, busy] = [8, 200_000, 0.8]
  const random = createRandom(3)
  let now = 0
  const arrivedS = Float64Array.from({ length: jobs }, () => {
    now += random.exponential(servers * busy)
    return now
  })
  const durationS = Float64Array.from({ length: jobs }, () => random.exponential(1))
  const outcome = run({ name: 'M/M/8', arrivedS, durationS, endS: now }, fixed(2), noSpot)
  const mean = outcome.waitS.reduce((sum, wait) => sum + wait, 0) / jobs
  const waited = outcome.waitS.filter((wait) => wait > 1e-9).length / jobs
  const expected = erlangC(servers, servers * busy)
  // Waits of neighbouring jobs are correlated: with 200,000 jobs the mean's standard error is about 2 %.
  assert.ok(Math.abs(waited / expected - 1) < 0.05, `${waited} of the jobs wait, not ${expected}`)
  const expectedMean = expected / (servers * (1 - busy))
  assert.ok(Math.abs(mean / expectedMean - 1) < 0.08, `they wait ${mean}, not ${expectedMean}`)
})

/** Returns the probability that a job waits, for `servers` of which `offered` are busy on average. */
function erlangC(servers: number, offered: number): number {
  let blocked = 1
  for (let server = 1; server <= servers; server += 1)
    blocked = (offered * blocked) / (server + offered * blocked)
  return (servers * blocked) / (servers - offered * (1 - blocked))
}

test('every worker is billed from its launch', () => {
  const trace = { ...smallTrace(), endS: 3600 }
  const { workerHours, dollars, peakWorkers } = run(trace, fixed(5), { spot: { interruptionsPerHour: 0 } })
  assert.is(peakWorkers, 5)
  assert.ok(Math.abs(workerHours - 5) < 1e-9)
  assert.ok(Math.abs(dollars - (2 * 0.0725 + 3 * 0.029)) < 1e-9)
})

test('a worker is in service one boot delay after its launch', () => {
  const setup = { scaler: { ...createFixedScaler(10), periodS: 100 }, limits: { min: 2, max: 10 } }
  const { series, changes } = run(smallTrace(), setup, noSpot)
  assert.equal(changes, [{ atS: 100, desired: 10 }])
  const grown = series.find(({ inService }) => inService === 10)
  assert.is(grown?.atS, 100 + 80)
  assert.is(series.find(({ atS }) => atS === 170)?.inService, 2)
})

test('the policy scales from zero when jobs arrive', () => {
  const rate = (s: number) => (s > 900 ? 1 : 0)
  const trace = generateTrace({ name: 'late', rate, highest: 1, endS: 1000 }, sampling)
  const { series } = run(trace, millraceSetup({ min: 0, max: 4 }))
  assert.is(series[0]?.desired, 0)
  const firstLaunch = series.find(({ desired }) => desired > 0)
  assert.ok(firstLaunch && firstLaunch.atS > 900 && firstLaunch.atS <= 930)
})

test('direction changes and bursts are counted', () => {
  assert.is(countDirectionChanges([2, 2, 4, 8, 8, 5, 5, 3, 2]), 1)
  assert.is(countDirectionChanges([2, 4, 3, 4, 3]), 3)
  assert.is(countDirectionChanges([]), 0)
  assert.is(countBursts(findTrace('burst', sampling)), 6)
  assert.is(countBursts(findTrace('flash-crowd', sampling)), 1)
  assert.is(countBursts(smallTrace()), 1)
})

test('a chart contains valid numbers only and escapes its title', () => {
  const { series } = run(smallTrace(), millraceSetup(defaults.limits))
  const chart = renderChart('small & <odd>', [{ label: 'Millrace', colour: '#000', series }], seriesPeriodS)
  assert.match(chart, /^<svg .*<\/svg>\n$/s)
  assert.is(chart.match(/<path /g)?.length, 6)
  assert.match(chart, '<title>small &amp; &lt;odd>:')
  assert.not.match(chart, /NaN|undefined|Infinity/)
})

// One day in four hours: the test only needs the fleet to follow the rate.
const day = namedTraces.diurnal
const shortDay = () =>
  generateTrace({ name: 'diurnal', ...day, rate: (s) => day.rate(6 * s), endS: day.endS / 6 }, sampling)

for (const [name, trace] of [
  ['burst', () => findTrace('burst', sampling)],
  ['diurnal', shortDay],
  ['flash-crowd', () => findTrace('flash-crowd', sampling)],
  ['evening', () => findTrace('evening', sampling)],
] as const) {
  test(`the policy reaches its goal on ${name}`, () => {
    const generated = trace()
    const reference = summarize(run(generated, referenceSetup(defaults.limits)))
    const comparison = compareWithReference(
      reference,
      summarize(run(generated, millraceSetup(defaults.limits))),
      countBursts(generated),
    )
    assert.ok(comparison.met, JSON.stringify(comparison))
  })
}

test('scaling on CPU misses the goal', () => {
  const trace = smallTrace()
  const [cpu] = alternativeSetups(trace, defaults)
  assert.ok(cpu)
  const reference = summarize(run(trace, referenceSetup(defaults.limits)))
  assert.not(compareWithReference(reference, summarize(run(trace, cpu)), 1).met)
})

test('trace files of jobs and of rates can be read', async () => {
  const jobs = join(directory, 'jobs.csv')
  await writeFile(jobs, 'arrived_s,duration_s\n0.5,1\n0.5,2.25\n7,0.1\n')
  const recorded = findTrace(jobs, sampling)
  assert.equal([...recorded.arrivedS], [0.5, 0.5, 7])
  assert.equal([...recorded.durationS], [1, 2.25, 0.1])
  assert.is(recorded.endS, 7)
  const rates = join(directory, 'rates.csv')
  await writeFile(rates, 'from_s,jobs_per_s\n0,100\n10,0\n20,50\n30,0\n')
  const { arrivedS, endS } = findTrace(rates, sampling)
  assert.is(endS, 30)
  const between = (from: number, to: number) => arrivedS.filter((at) => at >= from && at < to).length
  assert.ok(Math.abs(between(0, 10) - 1000) < 150)
  assert.is(between(10, 20), 0)
  assert.ok(Math.abs(between(20, 30) - 500) < 100)
})

for (const [problem, text, message] of [
  ['an unknown header', 'at,took\n1,2\n', 'the header must be arrived_s,duration_s or from_s,jobs_per_s'],
  [
    'a value that is not a number',
    'arrived_s,duration_s\n1,long\n',
    'line 2: expected two numbers of at least 0',
  ],
  ['a negative number', 'arrived_s,duration_s\n1,-1\n', 'line 2: expected two numbers of at least 0'],
  ['a third column', 'arrived_s,duration_s\n1,1,1\n', 'line 2: expected two numbers of at least 0'],
  ['rows that are not in order of time', 'arrived_s,duration_s\n2,1\n1,1\n', 'line 3: the time is earlier'],
  ['no rows', 'arrived_s,duration_s\n', 'the trace is empty'],
] as const) {
  test(`a trace file with ${problem} is an error`, async () => {
    const path = join(directory, 'wrong.csv')
    await writeFile(path, text)
    assert.throws(
      () => findTrace(path, sampling),
      (error: Error) => error.message.includes(message),
    )
  })
}

test('the simulator runs from the command line', async () => {
  const path = join(directory, 'few.csv')
  await writeFile(path, 'from_s,jobs_per_s\n0,3\n60,30\n200,3\n400,0\n')
  const main = join(import.meta.dirname, '../../packages/simulator/src/main.ts')
  const simulator = (...parameters: string[]) =>
    spawnSync(process.execPath, [main, ...parameters], { encoding: 'utf8' })
  const svg = join(directory, 'charts')
  const { stdout, stderr, status } = simulator('--trace', path, '--boot', '20s', '--svg', svg)
  assert.is(status, 0, stderr)
  for (const policy of ['reference', 'Millrace', 'CPU above 50 %', 'backlog per instance', 'fixed ']) {
    assert.match(stdout, policy)
  }
  assert.ok(existsSync(join(svg, 'few.svg')))
  assert.match(await readFile(join(svg, 'few.svg'), 'utf8'), '<svg')
  const wrong = simulator('--boot', 'soon')
  assert.is(wrong.status, 2)
  assert.is(wrong.stderr, '--boot must be a time such as 75s, 900ms or 2m, not "soon".\n')
  const missing = simulator('--trace', 'no-such')
  assert.is(missing.status, 2)
  assert.is(missing.stderr, 'no-such: no file and no trace with this name exists\n')
})

test.run()
