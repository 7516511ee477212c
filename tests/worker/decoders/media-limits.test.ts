import { AppError } from '@millrace/shared/service/app-error.ts'
import { createAdmission } from '@millrace/worker/decoders/admission.ts'
import { createMediaInspector } from '@millrace/worker/decoders/inspect-media.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { answered, createScriptedPool, ended, type ScriptedJob } from '../support/scripted-pool.ts'

const test = suite('limits of examining media')
const MiB = 1024 ** 2
const rendered = { type: 'rendered', findings: {}, tools: { mediabunny: '1' } } as const
const tooMuch = 'The file could not be examined wholly: that would take too much time or memory.'

function startInspector(
  jobs: ScriptedJob[],
  { cpuMs = 60_000, wallMs = 300_000, memoryBytes = 10_000 * MiB } = {},
) {
  const { pool, asked } = createScriptedPool(...jobs)
  const memory = createAdmission({ capacity: memoryBytes, largeCapacity: memoryBytes })
  const processes = createAdmission({ capacity: 1, largeCapacity: 1 })
  const held: number[] = []
  const inspect = createMediaInspector({
    pool: {
      ...pool,
      run(...job) {
        held.push(memory.used())
        return pool.run(...job)
      },
    },
    memory,
    processes,
    memoryBytes,
    keptBytes: 1_000,
    limits: { cpuMs, wallMs },
  })
  return {
    asked,
    held,
    used: () => [memory.used(), processes.used()],
    inspect: (size: number, readRange = async (start: number, end: number) => Buffer.alloc(end - start)) =>
      inspect(
        { kind: 'video/mp4', size, preset: { name: 'p', variants: [] }, readRange },
        new AbortController().signal,
      ),
  }
}

test('the limits of CPU time and memory grow with the file, up to an end', async () => {
  for (const [size, cpuMs, ownBytes] of [
    [100, 3_000, 64 * MiB],
    [256 * MiB, 7_000, 64 * MiB],
    [512 * MiB, 10_000, 128 * MiB],
    [20_000 * MiB, 10_000, 384 * MiB],
  ] as const) {
    const { inspect, asked, held, used } = startInspector([answered(rendered)])
    await inspect(size)
    const bytes = 120 * MiB + ownBytes
    const limits = asked[0]?.limits
    assert.is(Math.round(limits?.cpuMs ?? 0), cpuMs, String(size))
    assert.equal([limits?.wallMs, limits?.rssBytes], [60_000, 1_000 + 1.5 * bytes], String(size))
    assert.equal([held, used()], [[bytes], [0, 0]], String(size))
  }
})

test('the limits of a worker come first', async () => {
  const { inspect, asked, held } = startInspector([answered(rendered)], {
    cpuMs: 1_000,
    wallMs: 2_000,
    memoryBytes: 100,
  })
  await inspect(100)
  assert.equal([asked[0]?.limits, held], [{ cpuMs: 1_000, wallMs: 2_000, rssBytes: 1_000 + 150 }, [100]])
})

test('a file whose decoder crashed is tried once more in a new process, one over a limit is not', async () => {
  const crashed = startInspector([ended('died'), answered(rendered, { cpuMs: 5 })])
  assert.equal(await crashed.inspect(100), { findings: {}, cpuMs: 5, tools: { mediabunny: '1' } })
  assert.equal(
    crashed.asked.map(({ fresh }) => fresh),
    [false, true],
  )
  const twice = startInspector([ended('died'), ended('died')])
  assert.equal((await twice.inspect(100)).findings, { warnings: [tooMuch] })
  const slow = startInspector([ended('died', { isOverLimit: true })])
  assert.equal([(await slow.inspect(100)).findings, slow.asked.length], [{ warnings: [tooMuch] }, 1])
})

test('a killed decoder and a fault of ours are retried later', async () => {
  for (const job of [
    ended('killed'),
    answered({ type: 'broken', reason: 'a bug' }),
    answered({ type: 'refused', code: 'image_corrupt', message: 'm' }),
  ]) {
    const { inspect, used } = startInspector([job])
    const error = await inspect(100).catch((thrown: unknown) => thrown)
    assert.ok(error instanceof AppError)
    assert.equal([error.code, error.retryable, used()], ['processing_failed', true, [0, 0]])
  }
})

test('what was found before a limit is kept, and the limits of ranges count for each attempt', async () => {
  const reads: string[] = []
  const attempt: ScriptedJob = async (asked, answer, readRange) => {
    answer({ type: 'inspected', findings: { durationMs: 7, warnings: ['a remark'] } })
    answer({ type: 'picture', from: 'cover' }, Buffer.from('picture'))
    for (const [start, end] of [
      [0, 10],
      [90, 101],
      [0, 10],
    ] as const)
      reads.push((await readRange(start, end)) ? 'read' : 'refused')
    return ended('died', { isOverLimit: true })(asked, answer, readRange)
  }
  const { inspect } = startInspector([attempt])
  const { findings, picture } = await inspect(100)
  assert.equal(findings, { durationMs: 7, warnings: ['a remark', tooMuch] })
  assert.equal(picture, { from: 'cover', bytes: Buffer.from('picture') })
  assert.equal(reads, ['read', 'refused', 'read'])
})

test.run()
