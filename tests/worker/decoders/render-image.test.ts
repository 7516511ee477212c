import type { Preset } from '@millrace/shared/presets/preset.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createAdmission, type Share } from '@millrace/worker/decoders/admission.ts'
import { estimateCost } from '@millrace/worker/decoders/decode-cost.ts'
import { createImageRenderer, type RenderUsage } from '@millrace/worker/decoders/render-image.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { answered, createScriptedPool, ended, type ScriptedJob } from '../support/scripted-pool.ts'

const test = suite('rendering of one image by decoders')
const preset: Preset = { name: 'p', variants: [{ name: 'v', format: 'original', width: 10 }] }
const rendered = { type: 'rendered', findings: { placeholder: 'p' }, tools: { sharp: '1' } } as const

/** The header of a PNG: signature, IHDR with 8 bits of RGB. */
function pngHeader(width: number, height: number): Buffer {
  const file = Buffer.alloc(40)
  file.writeUInt32BE(width, 16)
  file.writeUInt32BE(height, 20)
  file.set([8, 2, 0, 0, 0], 24)
  return file
}

const small = pngHeader(10, 10)
const smallBytes = estimateCost('image/png', small, preset).bytes

function startRenderer(
  jobs: ScriptedJob[],
  {
    memoryBytes = smallBytes * 100,
    maxPixels = 1_000_000,
  }: { memoryBytes?: number; maxPixels?: number } = {},
) {
  const { pool, asked } = createScriptedPool(...jobs)
  const shares: Record<'memory' | 'processes', Share[]> = { memory: [], processes: [] }
  const admissionOf = (name: keyof typeof shares, capacity: number) => {
    const admission = createAdmission({ capacity, largeCapacity: capacity })
    return {
      ...admission,
      acquire(share: Share, signal: AbortSignal) {
        shares[name].push(share)
        return admission.acquire(share, signal)
      },
    }
  }
  const [memory, processes] = [admissionOf('memory', memoryBytes), admissionOf('processes', 3)]
  const renderImage = createImageRenderer({
    pool,
    memory,
    processes,
    memoryBytes,
    keptBytes: 1_000,
    maxPixels,
    limits: { cpuMs: 7_000, wallMs: 9_000 },
    ffmpeg: '/usr/bin/ffmpeg',
  })
  return {
    asked,
    shares,
    used: () => [memory.used(), processes.used()],
    async render(bytes = small, signal = new AbortController().signal) {
      const variants: string[] = []
      const inspected: unknown[] = []
      const usages: RenderUsage[] = []
      const result = await renderImage(
        { kind: 'image/png', bytes, preset, focus: { x: 0.25, y: 1 } },
        {
          signal,
          onInspected: (findings) => inspected.push(findings),
          emit: ({ recipe, width, height, body }) =>
            variants.push(`${recipe.name} ${recipe.format} ${width}×${height} ${body}`),
          onUsed: (usage) => usages.push(usage),
        },
      ).catch((error: unknown) => error)
      return { result, variants, inspected, usages }
    },
  }
}

function codeOf(result: unknown): string {
  return result instanceof AppError ? result.code : 'no error'
}

test('a decoder gets the file, the preset, the focal point and the limits', async () => {
  const { render, asked } = startRenderer([answered(rendered)])
  const { result, usages } = await render()
  assert.equal(result, rendered.findings)
  const rssBytes = 1_000 + 1.5 * smallBytes
  const [job] = asked
  assert.equal(job?.input, {
    kind: 'image/png',
    preset,
    maxPixels: 1_000_000,
    file: small,
    focus: { x: 0.25, y: 1 },
    ffmpeg: '/usr/bin/ffmpeg',
  })
  assert.equal([job?.limits, job?.fresh], [{ cpuMs: 7_000, wallMs: 9_000, rssBytes }, false])
  assert.equal(usages, [
    {
      cpuMs: 10,
      limits: {
        maxImagePixels: 1_000_000,
        decoderCpuMs: 7_000,
        decoderTimeMs: 9_000,
        decoderMemoryBytes: Math.floor(rssBytes),
      },
      tools: { sharp: '1' },
    },
  ])
})

test('an image that takes exactly all memory is rendered, and one byte less is too little', async () => {
  const fits = startRenderer([answered(rendered)], { memoryBytes: smallBytes })
  assert.equal((await fits.render()).result, rendered.findings)
  const tight = startRenderer([], { memoryBytes: smallBytes - 1 })
  const { result, usages } = await tight.render()
  assert.ok(result instanceof AppError)
  assert.equal([result.code, result.limit, usages, tight.asked], ['image_too_large', smallBytes - 1, [], []])
  assert.is(
    result.message,
    `Decoding the image takes up to ${smallBytes} bytes of memory; this worker has ${smallBytes - 1}.`,
  )
})

test('an image over the limit of pixels takes the memory of its file only, since its header is read', async () => {
  const limits = { maxPixels: 1_000_000, memoryBytes: smallBytes }
  for (const [width, cost] of [
    [1_001, small.length],
    [1_000, undefined],
  ] as const) {
    const { render, shares } = startRenderer([answered(rendered)], limits)
    const { result } = await render(pngHeader(width, 1_000))
    assert.is(codeOf(result), cost === undefined ? 'image_too_large' : 'no error')
    assert.is(shares.memory[0]?.cost, cost)
  }
})

test('an image is large if it takes more than a quarter of the memory, or has 25 megapixels', async () => {
  const isLarge = async (memoryBytes: number, bytes = small) => {
    const { render, shares } = startRenderer([answered(rendered)], { memoryBytes, maxPixels: 1e9 })
    await render(bytes)
    return [...shares.memory, ...shares.processes].map((share) => share.isLarge)
  }
  assert.equal(await isLarge(4 * smallBytes), [false, false])
  assert.equal(await isLarge(4 * smallBytes - 4), [true, true])
  assert.equal(await isLarge(1e12, pngHeader(5_000, 5_000)), [true, true])
  assert.equal(await isLarge(1e12, pngHeader(5_000, 4_999)), [false, false])
})

test('memory and decoder are given back however an image ends', async () => {
  const aborting = new AbortController()
  const ends: ScriptedJob[] = [
    answered(rendered),
    answered({ type: 'refused', code: 'image_corrupt', message: 'm' }),
    answered({ type: 'broken', reason: 'r' }),
    ended('killed'),
    () => Promise.reject(new Error('The pool is closed.')),
  ]
  const { render, used, shares } = startRenderer([
    ...ends,
    () => {
      assert.equal(used(), [smallBytes, 1], 'both are held while it is rendered')
      aborting.abort(new Error('stop'))
      return Promise.reject(aborting.signal.reason)
    },
  ])
  for (const _ of ends) {
    await render()
    assert.equal(used(), [0, 0])
  }
  const { result } = await render(small, aborting.signal)
  assert.equal([String(result), used()], ['Error: stop', [0, 0]])
  await render(small, aborting.signal)
  assert.equal([used(), shares.memory.length], [[0, 0], ends.length + 2])
})

test('an image whose decoder died is tried once more, in a new process, and nothing of it is passed on twice', async () => {
  const first: ScriptedJob = (asked, answer, readRange) => {
    answer({ type: 'inspected', findings: { width: 1 } })
    answer({ type: 'variant', name: 'v', width: 3, height: 4 }, Buffer.from('first'))
    return ended('died', { cpuMs: 30 })(asked, answer, readRange)
  }
  const second: ScriptedJob = (asked, answer, readRange) => {
    answer({ type: 'inspected', findings: { width: 2 } })
    answer({ type: 'variant', name: 'v', width: 5, height: 6 }, Buffer.from('second'))
    answer({ type: 'variant', name: 'unknown', width: 5, height: 6 }, Buffer.from('unknown'))
    return answered(rendered, { cpuMs: 12 })(asked, answer, readRange)
  }
  const { render, asked } = startRenderer([first, second])
  const { result, variants, inspected, usages } = await render()
  assert.equal(result, rendered.findings)
  assert.equal(
    asked.map(({ fresh }) => fresh),
    [false, true],
  )
  assert.equal([variants, inspected], [['v png 3×4 first'], [{ width: 1 }]])
  assert.equal(
    usages.map(({ cpuMs }) => cpuMs),
    [42],
  )
})

test('an image whose decoder died twice is poison, and one whose decoder was killed is retried later', async () => {
  const poison = startRenderer([ended('died'), ended('died')])
  const { result, usages } = await poison.render()
  assert.ok(result instanceof AppError && result.cause instanceof Error)
  assert.equal(
    [result.code, result.retryable, poison.asked.length, usages.length],
    ['poison_file', false, 2, 1],
  )
  assert.is(result.cause.message, 'The decoder died. It died. It wrote: a text')
  for (const jobs of [[ended('killed')], [ended('died'), ended('killed')]]) {
    const killed = startRenderer([...jobs])
    const outcome = (await killed.render()).result
    assert.ok(outcome instanceof AppError)
    assert.equal(
      [outcome.code, outcome.retryable, killed.asked.length],
      ['processing_failed', true, jobs.length],
    )
  }
})

test('what a decoder refuses has its code, message and limit, and a fault of ours is retried', async () => {
  const refused = { type: 'refused', code: 'image_too_many_pixels', message: 'Too many.', limit: 7 } as const
  const { result } = await startRenderer([answered({ ...refused, reason: 'of libvips' })]).render()
  assert.ok(result instanceof AppError && result.cause instanceof Error)
  assert.equal(
    [result.code, result.message, result.limit, result.retryable, result.cause.message],
    ['image_too_many_pixels', 'Too many.', 7, false, 'of libvips'],
  )
  for (const last of [
    { type: 'broken', reason: 'a bug' },
    { ...refused, code: 'no_such_code' },
  ] as const) {
    const { render, asked } = startRenderer([answered(last)])
    const outcome = (await render()).result
    assert.ok(outcome instanceof AppError)
    assert.equal([outcome.code, outcome.retryable, asked.length], ['processing_failed', true, 1])
  }
})

test.run()
