import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { countDirectionChanges } from '@millrace/simulator/report/direction-changes.ts'
import { drawChart } from '@millrace/simulator/report/draw-chart.ts'
import { measureAgainst } from '@millrace/simulator/report/goal.ts'
import { summarize } from '@millrace/simulator/report/summary.ts'
import { type Contender, oracle, others, ours } from '@millrace/simulator/scaler-setups.ts'
import { createFixedScaler } from '@millrace/simulator/scalers/fixed-scaler.ts'
import { type Conditions, seriesPeriodS, simulate } from '@millrace/simulator/simulation/simulate.ts'
import { countBursts } from '@millrace/simulator/traces/count-bursts.ts'
import { namedTraces } from '@millrace/simulator/traces/named-traces.ts'
import { createRandom } from '@millrace/simulator/traces/random.ts'
import { drawTrace, photoDurations, type Trace } from '@millrace/simulator/traces/trace.ts'
import { findTrace } from '@millrace/simulator/traces/traces.ts'
import * as assert from 'uvu/assert'
import { suite } from '../support/suite.ts'

const test = suite('simulator')
const draw = { seed: 1, durations: photoDurations }
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

/** Ten minutes of 20 jobs a second after two of 2: enough for any policy to move. */
function smallTrace(seed = 1): Trace {
  const rate = (s: number) => (s > 120 && s < 720 ? 20 : 2)
  return drawTrace({ name: 'small', rate, highest: 20, endS: 1200 }, { ...draw, seed })
}

function run(trace: Trace, { scaler, limits }: Contender, conditions: Partial<Conditions> = {}) {
  return simulate(trace, scaler, { ...defaults, limits, ...conditions })
}

function fixed(workers: number): Contender {
  return { scaler: createFixedScaler(workers), limits: { min: workers, max: workers } }
}

test('gives the same outcome for the same seed, and another for another', () => {
  const outcome = () => run(smallTrace(), ours(defaults.limits))
  assert.equal(outcome(), outcome())
  assert.not.equal(run(smallTrace(2), ours(defaults.limits)).waitS, outcome().waitS)
})

test('never leaves a slot free while a job waits', () => {
  const conditions = { ...defaults, spot: { interruptionsPerHour: 20 } }
  const trace = smallTrace()
  const contenders = [oracle(conditions.limits), ours(conditions.limits), ...others(trace, conditions)]
  for (const { scaler, limits } of contenders) {
    let looks = 0
    simulate(trace, scaler, { ...conditions, limits }, ({ waiting, freeSlots }) => {
      looks += 1
      if (waiting > 0 && freeSlots > 0)
        throw new Error(`${scaler.name}: ${waiting} wait, ${freeSlots} are free`)
      if (freeSlots < 0) throw new Error(`${scaler.name}: more jobs than slots`)
    })
    assert.ok(looks > 2 * trace.arrivedS.length)
  }
})

test('starts jobs in the order of their arrival', () => {
  const { startOrder, waitS } = run(smallTrace(), ours(defaults.limits), noSpot)
  assert.equal(
    startOrder,
    Array.from(waitS, (_, job) => job),
  )
})

test('loses no job to interruptions, and counts what they cost', () => {
  // Jobs of 200 s outlast a notice of 120.
  const trace = {
    name: 'long',
    arrivedS: Float64Array.from({ length: 300 }, (_, job) => job),
    durationS: new Float64Array(300).fill(200),
    endS: 300,
  }
  const outcome = run(trace, fixed(20), { onDemandBase: 0, spot: { interruptionsPerHour: 10 } })
  assert.ok(outcome.interruptions > 10)
  assert.ok(outcome.startOrder.length > 300, 'none was interrupted')
  assert.is(new Set(outcome.startOrder).size, 300)
  const undisturbed = run(trace, fixed(20), noSpot)
  assert.is(undisturbed.startOrder.length, 300)
  const total = (waits: Float64Array) => waits.reduce((sum, wait) => sum + wait, 0)
  // What a job had done when it was interrupted is done again: two minutes each, at least.
  const again = outcome.startOrder.length - 300
  assert.ok(total(outcome.waitS) > total(undisturbed.waitS) + 120 * again)
})

test('ends a job that waits again only after it ran again', () => {
  // One worker at a time: what it hands back waits for the boot of the next.
  const trace = {
    name: 'one by one',
    arrivedS: new Float64Array(40),
    durationS: new Float64Array(40).fill(150),
    endS: 1,
  }
  const rough = { onDemandBase: 0, spot: { interruptionsPerHour: 20 } }
  const { startOrder, waitS } = run(trace, fixed(1), rough)
  assert.ok(startOrder.length > 40)
  assert.is(new Set(startOrder).size, 40)
  for (const job of startOrder.filter((each, index) => startOrder.indexOf(each) < index)) {
    // What it did until the notice ran out is done again.
    assert.ok((waitS[job] ?? 0) >= 120)
  }
  // Four slots, and for the time of a notice those of the worker that goes.
  for (const wait of waitS.subarray(8)) assert.ok(wait >= 150)
})

test('waits as long as Erlang says of M/M/c', () => {
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
  // Waits of neighbours are alike: with 200,000 jobs the mean has a standard error of about 2 %.
  assert.ok(Math.abs(waited / expected - 1) < 0.05, `${waited} of the jobs wait, not ${expected}`)
  const expectedMean = expected / (servers * (1 - busy))
  assert.ok(Math.abs(mean / expectedMean - 1) < 0.08, `they wait ${mean}, not ${expectedMean}`)
})

/** How likely a job waits for one of `servers` when `offered` of them are busy on average. */
function erlangC(servers: number, offered: number): number {
  let blocked = 1
  for (let server = 1; server <= servers; server += 1)
    blocked = (offered * blocked) / (server + offered * blocked)
  return (servers * blocked) / (servers - offered * (1 - blocked))
}

test('bills every worker from its launch, a minute at least', () => {
  const trace = { ...smallTrace(), endS: 3600 }
  const { workerHours, dollars, peakWorkers } = run(trace, fixed(5), { spot: { interruptionsPerHour: 0 } })
  assert.is(peakWorkers, 5)
  assert.ok(Math.abs(workerHours - 5) < 1e-9)
  assert.ok(Math.abs(dollars - (2 * 0.0725 + 3 * 0.029)) < 1e-9)
})

test('gives a worker work one boot delay after its launch', () => {
  const contender = { scaler: { ...createFixedScaler(10), periodS: 100 }, limits: { min: 2, max: 10 } }
  const { series, changes } = run(smallTrace(), contender, noSpot)
  assert.equal(changes, [{ atS: 100, desired: 10 }])
  const arrived = series.find(({ inService }) => inService === 10)
  assert.is(arrived?.atS, 100 + 80)
  assert.is(series.find(({ atS }) => atS === 170)?.inService, 2)
})

test('scales to zero and back', () => {
  const rate = (s: number) => (s > 900 ? 1 : 0)
  const trace = drawTrace({ name: 'late', rate, highest: 1, endS: 1000 }, draw)
  const { series } = run(trace, ours({ min: 0, max: 4 }))
  assert.is(series[0]?.desired, 0)
  const woken = series.find(({ desired }) => desired > 0)
  assert.ok(woken && woken.atS > 900 && woken.atS <= 930)
})

test('counts turns and bursts', () => {
  assert.is(countDirectionChanges([2, 2, 4, 8, 8, 5, 5, 3, 2]), 1)
  assert.is(countDirectionChanges([2, 4, 3, 4, 3]), 3)
  assert.is(countDirectionChanges([]), 0)
  assert.is(countBursts(findTrace('burst', draw)), 6)
  assert.is(countBursts(findTrace('flash-crowd', draw)), 1)
  assert.is(countBursts(smallTrace()), 1)
})

test('draws a chart of numbers only', () => {
  const { series } = run(smallTrace(), ours(defaults.limits))
  const chart = drawChart('small & <odd>', [{ label: 'Millrace', colour: '#000', series }], seriesPeriodS)
  assert.match(chart, /^<svg .*<\/svg>\n$/s)
  assert.is(chart.match(/<path /g)?.length, 6)
  assert.match(chart, '<title>small &amp; &lt;odd>:')
  assert.not.match(chart, /NaN|undefined|Infinity/)
})

// A day in four hours: what matters is that the fleet follows.
const day = namedTraces.diurnal
const shortDay = () =>
  drawTrace({ name: 'diurnal', ...day, rate: (s) => day.rate(6 * s), endS: day.endS / 6 }, draw)

for (const [name, trace] of [
  ['burst', () => findTrace('burst', draw)],
  ['diurnal', shortDay],
  ['flash-crowd', () => findTrace('flash-crowd', draw)],
  ['evening', () => findTrace('evening', draw)],
] as const) {
  test(`reaches its goal on ${name}`, () => {
    const drawn = trace()
    const best = summarize(run(drawn, oracle(defaults.limits)))
    const measure = measureAgainst(best, summarize(run(drawn, ours(defaults.limits))), countBursts(drawn))
    assert.ok(measure.met, JSON.stringify(measure))
  })
}

test('tells a policy that misses the goal', () => {
  const trace = smallTrace()
  const [cpu] = others(trace, defaults)
  assert.ok(cpu)
  const best = summarize(run(trace, oracle(defaults.limits)))
  assert.not(measureAgainst(best, summarize(run(trace, cpu)), 1).met)
})

test('reads traces of jobs and of rates from files', async () => {
  const jobs = join(directory, 'jobs.csv')
  await writeFile(jobs, 'arrived_s,duration_s\n0.5,1\n0.5,2.25\n7,0.1\n')
  const recorded = findTrace(jobs, draw)
  assert.equal([...recorded.arrivedS], [0.5, 0.5, 7])
  assert.equal([...recorded.durationS], [1, 2.25, 0.1])
  assert.is(recorded.endS, 7)
  const rates = join(directory, 'rates.csv')
  await writeFile(rates, 'from_s,jobs_per_s\n0,100\n10,0\n20,50\n30,0\n')
  const { arrivedS, endS } = findTrace(rates, draw)
  assert.is(endS, 30)
  const between = (from: number, to: number) => arrivedS.filter((at) => at >= from && at < to).length
  assert.ok(Math.abs(between(0, 10) - 1000) < 150)
  assert.is(between(10, 20), 0)
  assert.ok(Math.abs(between(20, 30) - 500) < 100)
})

for (const [what, text, sentence] of [
  ['a header of another kind', 'at,took\n1,2\n', 'neither arrived_s,duration_s nor from_s,jobs_per_s'],
  ['no number', 'arrived_s,duration_s\n1,long\n', 'line 2: two numbers'],
  ['a negative number', 'arrived_s,duration_s\n1,-1\n', 'line 2: two numbers'],
  ['a third column', 'arrived_s,duration_s\n1,1,1\n', 'line 2: two numbers'],
  ['time that runs backwards', 'arrived_s,duration_s\n2,1\n1,1\n', 'line 3: time runs backwards'],
  ['nothing in it', 'arrived_s,duration_s\n', 'no time in it'],
] as const) {
  test(`refuses a trace file with ${what}`, async () => {
    const path = join(directory, 'wrong.csv')
    await writeFile(path, text)
    assert.throws(
      () => findTrace(path, draw),
      (error: Error) => error.message.includes(sentence),
    )
  })
}

test('runs from the command line', async () => {
  const path = join(directory, 'few.csv')
  await writeFile(path, 'from_s,jobs_per_s\n0,3\n60,30\n200,3\n400,0\n')
  const main = join(import.meta.dirname, '../../packages/simulator/src/main.ts')
  const simulator = (...parameters: string[]) =>
    spawnSync(process.execPath, [main, ...parameters], { encoding: 'utf8' })
  const svg = join(directory, 'drawn')
  const { stdout, stderr, status } = simulator('--trace', path, '--boot', '20s', '--svg', svg)
  assert.is(status, 0, stderr)
  for (const policy of ['reactive oracle', 'Millrace', 'CPU above 50 %', 'backlog per instance', 'fixed ']) {
    assert.match(stdout, policy)
  }
  assert.ok(existsSync(join(svg, 'few.svg')))
  assert.match(await readFile(join(svg, 'few.svg'), 'utf8'), '<svg')
  const wrong = simulator('--boot', 'soon')
  assert.is(wrong.status, 2)
  assert.is(wrong.stderr, '--boot takes a time like 75s, 900ms or 2m, not "soon".\n')
  const missing = simulator('--trace', 'no-such')
  assert.is(missing.status, 2)
  assert.is(missing.stderr, 'no-such: there is no such file, nor a trace of that name\n')
})

test.run()
