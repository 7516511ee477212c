import { AsyncLocalStorage } from 'node:async_hooks'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createAdmission } from '@millrace/worker/decoders/admission.ts'
import { estimateCost } from '@millrace/worker/decoders/decode-cost.ts'
import { createDecoderPool, type DecoderPool } from '@millrace/worker/decoders/decoder-pool.ts'
import type { JobLimits } from '@millrace/worker/decoders/decoder-process.ts'
import { createImageRenderer, type RenderUsage } from '@millrace/worker/decoders/render-image.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { compileCacheVariables } from '../support/compile-cache.ts'

const test = suite('decoder pool', {}, { limitMs: 60_000 })
const MiB = 1024 ** 2
const program = fileURLToPath(import.meta.resolve('../support/faulty-decoder.ts'))
const preset = {
  name: 'one',
  variants: [{ name: 'only', fit: 'inside', width: 1, format: 'png', quality: 80 } as const],
}
/** Of a file that is no image. */
const estimatedBytes = estimateCost('image/png', Buffer.alloc(0), preset).bytes
const generous: JobLimits = { cpuMs: 20_000, wallMs: 20_000, rssBytes: 1024 * MiB }

let closers: (() => Promise<void>)[] = []
test.after.each(async () => {
  for (const close of closers) await close()
  closers = []
})

function createPool(recycle = { jobs: 100, rssBytes: 1024 * MiB }) {
  return createDecoderPool({
    program,
    environment: { MALLOC_ARENA_MAX: '2', ...compileCacheVariables },
    recycle,
  })
}

/** Of the tests that run one job at a time. It has one decoder at most, which may have run jobs of other tests. */
const sharedPool = createPool()
test.after(sharedPool.close)

/** Starts a pool that the test closes. */
function startPool(recycle?: { jobs: number; rssBytes: number }) {
  const pool = createPool(recycle)
  closers.push(pool.close)
  return pool
}

/** Creates a renderer that records what it passes on. */
function createRenderer(options: { limits?: Partial<JobLimits>; pool?: DecoderPool } = {}) {
  const { pool = sharedPool } = options
  const limits = { ...generous, ...options.limits }
  const plenty = { capacity: 1024 * MiB, largeCapacity: 1024 * MiB }
  const renderImage = createImageRenderer({
    pool,
    memory: createAdmission(plenty),
    processes: createAdmission(plenty),
    memoryBytes: 1024 * MiB,
    // The renderer adds what an image takes.
    keptBytes: limits.rssBytes - 1.5 * estimatedBytes,
    maxPixels: 100,
    limits,
  })
  return {
    async render(command: string, signal = new AbortController().signal, onPart = () => {}) {
      const variants: string[] = []
      const inspected = Promise.withResolvers<void>()
      const heights: unknown[] = []
      const used: RenderUsage[] = []
      const rendered = renderImage(
        { kind: 'image/png', bytes: Buffer.from(command), preset },
        {
          signal,
          onInspected({ height }) {
            heights.push(height)
            onPart()
            inspected.resolve()
          },
          emit({ body }) {
            variants.push(String(body))
            onPart()
          },
          onUsed: (usage) => used.push(usage),
        },
      )
      const outcome = rendered.then(
        ({ placeholder }) => placeholder,
        (error: unknown) => error,
      )
      await Promise.race([inspected.promise, outcome])
      return { outcome, variants, heights, used }
    },
  }
}

/** Runs one command and returns the error's code. */
async function codeOf(work: Promise<{ outcome: Promise<unknown> }>): Promise<string> {
  const outcome = await (await work).outcome
  return outcome instanceof AppError ? outcome.code : String(outcome)
}

/** Runs a job that succeeds. @returns the process id of its decoder, and how many jobs that has run */
async function answerOf(work: Promise<{ outcome: Promise<unknown> }>): Promise<string[]> {
  return String(await (await work).outcome).split(' ')
}

async function pidOf(work: Promise<{ outcome: Promise<unknown> }>): Promise<string> {
  return (await answerOf(work))[0] ?? ''
}

/** Waits until a process has ended. It polls, because the system tells only a parent. */
async function ended(pid: number | string): Promise<void> {
  while (existsSync(`/proc/${pid}`)) await delay(10)
}

test('a prepared decoder has loaded its program, and gets the first job', async () => {
  const pool = startPool()
  const { render } = createRenderer({ pool })
  await pool.prepare()
  assert.is(pool.usage().idle, 1)
  await pidOf(render('ok'))
  assert.equal([pool.usage().idle, pool.usage().busy], [1, 0])
})

test('a decoder that cannot be prepared says why, and is not kept', async () => {
  const recycle = { jobs: 1, rssBytes: 1024 * MiB }
  const pool = createDecoderPool({ program: `${program}.missing`, environment: {}, recycle })
  closers.push(pool.close)
  const error = await pool.prepare().catch(String)
  assert.match(String(error), /A decoder does not start: ended with 1\. .*Cannot find module/s)
  assert.equal([pool.usage().idle, pool.usage().busy], [0, 0])
})

test('a decoder is used again for the next job', async () => {
  const { render } = createRenderer()
  assert.is(await pidOf(render('ok')), await pidOf(render('ok')))
})

test('what a decoder sends has the asynchronous context of its job, also in a decoder that is used again', async () => {
  const { render } = createRenderer()
  const trace = new AsyncLocalStorage<string>()
  for (const name of ['first', 'second']) {
    const seen: unknown[] = []
    await trace.run(name, () => pidOf(render('ok', undefined, () => seen.push(trace.getStore()))))
    assert.ok(seen.length > 1)
    assert.equal([...new Set(seen)], [name])
  }
})

test('jobs at the same time have decoders of their own', async () => {
  const { render } = createRenderer({ pool: startPool() })
  const pids = await Promise.all([pidOf(render('ok')), pidOf(render('ok')), pidOf(render('ok'))])
  assert.is(new Set(pids).size, 3)
})

for (const [command, limits, reason] of [
  ['crash', {}, 'It ended with SIGABRT.'],
  ['exit', {}, 'It ended with 3.'],
  ['spin', { cpuMs: 200 }, 'It used more than 200 ms of CPU.'],
  ['hang', { wallMs: 200 }, 'It took longer than 200 ms.'],
  // An empty one has some 60 MiB.
  ['grow', { rssBytes: 100 * MiB }, ' bytes of memory.'],
] as const) {
  test(`a decoder that does "${command}" ends alone, and its file is rejected as poison after a second try`, async () => {
    const { render } = createRenderer({ limits })
    const [neighbour = '', jobs] = await answerOf(render('ok'))
    const next = Number(jobs) + 1
    const { outcome, variants, heights, used } = await render(command)
    const error = await outcome
    assert.ok(error instanceof AppError)
    assert.equal([error.code, error.retryable], ['poison_file', false])
    assert.ok(error.cause instanceof Error && error.cause.message.includes(reason), String(error.cause))
    assert.equal(variants, [`job ${next}`], 'the variant of the second process is not emitted again')
    assert.equal(heights, [next], 'the findings of the second process are not passed on again')
    assert.is(used.length, 1)
    if (command === 'spin') assert.ok((used[0]?.cpuMs ?? 0) > 2 * 200, 'the CPU time of both processes')
    assert.not.match(await pidOf(render('ok')), neighbour)
  })
}

test('a file that ends an old decoder only is rendered by a new one', async () => {
  const { render } = createRenderer()
  await (await render('ok')).outcome
  const { outcome, variants } = await render('crash-first')
  assert.match(String(await outcome), / 1$/)
  assert.is(variants.length, 1)
})

test('a decoder that was killed from outside fails the attempt, not the file', async () => {
  const { render } = createRenderer()
  const pid = await pidOf(render('ok'))
  const { outcome } = await render('hang')
  process.kill(Number(pid), 'SIGKILL')
  assert.is(await codeOf(Promise.resolve({ outcome })), 'processing_failed')
})

test('the error of a dead decoder has the text that it wrote', async () => {
  const { render } = createRenderer()
  await (await render('write')).outcome
  const error = await (await render('crash')).outcome
  assert.ok(error instanceof AppError && error.cause instanceof Error)
  assert.match(error.cause.message, 'SIGABRT')
  assert.not.match(error.cause.message, 'text of a library')
})

test('an abort kills the decoder, and the next job gets another one', async () => {
  const { render } = createRenderer()
  const pid = await pidOf(render('ok'))
  const stopping = new AbortController()
  const { outcome } = await render('spin', stopping.signal)
  stopping.abort(new Error('stop'))
  assert.is(String(await outcome), 'Error: stop')
  await ended(pid)
  assert.is.not(await pidOf(render('ok')), pid)
})

test('a decoder is replaced after its number of jobs', async () => {
  const { render } = createRenderer({ pool: startPool({ jobs: 2, rssBytes: 1024 * MiB }) })
  const pids = []
  for (let i = 0; i < 4; i++) pids.push(await pidOf(render('ok')))
  assert.equal(pids[0], pids[1])
  assert.equal(pids[2], pids[3])
  assert.is.not(pids[1], pids[2])
})

test('a decoder that keeps much memory is replaced', async () => {
  // A new one has some 60 MiB, and keeps 64 more.
  const { render } = createRenderer({ pool: startPool({ jobs: 100, rssBytes: 100 * MiB }) })
  const before = await pidOf(render('ok'))
  assert.is(await pidOf(render('ok')), before)
  await (await render('keep')).outcome
  assert.is.not(await pidOf(render('ok')), before)
})

test('a decoder has no variable of the worker in its environment', async () => {
  process.env['AWS_SECRET_ACCESS_KEY'] ??= 'secret'
  const { render } = createRenderer()
  const names = Object.keys(JSON.parse(String(await (await render('environment')).outcome)))
  assert.equal(
    names.filter((name) => !name.startsWith('NODE_CHANNEL')),
    ['MALLOC_ARENA_MAX', ...Object.keys(compileCacheVariables)],
  )
})

test('a killed decoder leaves what it compiled, so that the next one starts faster', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-compiled-'))
  const environment = { NODE_COMPILE_CACHE: directory }
  const pool = createDecoderPool({ program, environment, recycle: { jobs: 1, rssBytes: 1024 * MiB } })
  closers.push(pool.close, () => rm(directory, { recursive: true }))
  // The first job begins after the program has been written.
  await pidOf(createRenderer({ pool }).render('ok'))
  await pool.close()
  const [version = ''] = await readdir(directory)
  assert.ok((await readdir(join(directory, version))).length > 1)
})

test('decoders ignore the signals of a terminal, and end when the pool closes', async () => {
  const pool = startPool()
  const { render } = createRenderer({ pool })
  const pid = await pidOf(render('ok'))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.kill(Number(pid), signal)
  assert.is(await pidOf(render('ok')), pid)
  await pool.close()
  assert.is(existsSync(`/proc/${pid}`), false)
})

test('busy and idle decoders end when their worker is killed', async () => {
  const owner = fileURLToPath(import.meta.resolve('../support/decoder-owner.ts'))
  const worker = spawn(process.execPath, [owner, program], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = await once(worker.stdout, 'data')
  const pids = String(line).trim().split(' ')
  assert.is(pids.length, 2)
  worker.kill('SIGKILL')
  await once(worker, 'close')
  await Promise.all(pids.map(ended))
})

test('a decoder that is killed for an unknown answer gets no other job, whatever it answers next', async () => {
  const { render } = createRenderer()
  assert.is(await codeOf(render('nonsense')), 'poison_file')
  const [pid, count] = await answerOf(render('ok'))
  assert.match(pid ?? '', /^\d+$/)
  assert.is(count, '1')
})

test.run()
