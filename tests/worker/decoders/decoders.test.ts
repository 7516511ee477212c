import { EventEmitter, once } from 'node:events'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createDecoders } from '@millrace/worker/decoders/decoders.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { interlacedPng } from '../support/odd-images.ts'
import { sampleImage } from '../support/sample-images.ts'

const test = suite('decoders')
const MiB = 1024 ** 2
const faultyProgram = fileURLToPath(import.meta.resolve('../support/faulty-decoder.ts'))
const preset = {
  name: 'one',
  variants: [{ name: 'only', fit: 'inside', width: 8, format: 'png', quality: 80 } as const],
}
let closers: (() => Promise<void>)[] = []
test.after.each(async () => {
  for (const close of closers) await close()
  closers = []
})

function startDecoders(
  options: { memoryBytes?: number; maxPixels?: number; program?: string; preload?: string } = {},
) {
  const changes = new EventEmitter()
  let largeWaiting = 0
  const decoders = createDecoders({
    config: {
      slots: 64,
      maxImagePixels: options.maxPixels ?? 100_000_000,
      decoderCpuLimitMs: 60_000,
      decoderTimeLimitMs: 60_000,
      decoderMemoryBytes: options.memoryBytes ?? 64 * 1024 * MiB,
      decoderPreload: options.preload,
    },
    ...(options.program && { program: options.program }),
    onLargeWaiting(count) {
      largeWaiting = count
      changes.emit('change')
    },
  })
  closers.push(decoders.close)
  return {
    ...decoders,
    /** Waits until so many large images wait. */
    async untilLargeWaiting(count: number): Promise<void> {
      while (largeWaiting !== count) await once(changes, 'change')
    },
    /** Renders a PNG. @returns `ready` or the error's code */
    async outcome(bytes: Buffer, signal = new AbortController().signal): Promise<string> {
      return decoders
        .renderImage({ kind: 'image/png', bytes, preset }, { signal, onInspected: () => {}, emit: () => {} })
        .then(
          () => 'ready',
          (error: unknown) => (error instanceof AppError ? error.code : String(error)),
        )
    },
  }
}

/** A header of 100 megapixels, then a command for the faulty decoder. */
function largePng(command: string): Buffer {
  const header = Buffer.alloc(34)
  header.writeUInt32BE(10_000, 16)
  header.writeUInt32BE(10_000, 20)
  header.set([8, 2, 0, 0, 0], 24)
  return Buffer.concat([header, Buffer.from(command)])
}

test('the environment of a decoder is its settings of memory, the cache of compiled modules and the preloaded allocator', async () => {
  const decoders = startDecoders({ program: faultyProgram, preload: '/nonexistent/allocator.so' })
  const { placeholder } = await decoders.renderImage(
    { kind: 'image/png', bytes: largePng('environment'), preset },
    { signal: new AbortController().signal, onInspected: () => {}, emit: () => {} },
  )
  const variables = JSON.parse(placeholder ?? '')
  const { NODE_CHANNEL_FD, NODE_CHANNEL_SERIALIZATION_MODE, NODE_COMPILE_CACHE, ...others } = variables
  assert.equal(others, {
    LD_PRELOAD: '/nonexistent/allocator.so',
    MALLOC_ARENA_MAX: '2',
    UV_THREADPOOL_SIZE: '2',
  })
  // The test runner sets it.
  assert.ok(NODE_COMPILE_CACHE)
  assert.is(NODE_COMPILE_CACHE, process.env['NODE_COMPILE_CACHE'])
})

test('ordinary images pass large ones, however many of those wait', async () => {
  const decoders = startDecoders({ program: faultyProgram })
  const atOnce = availableParallelism()
  const stopping = Array.from({ length: atOnce }, () => new AbortController())
  const hanging = stopping.map(({ signal }) => decoders.outcome(largePng('hang'), signal))
  const later = Array.from({ length: 5 }, () => decoders.outcome(largePng('ok')))
  await decoders.untilLargeWaiting(5)
  for (let i = 0; i < 10; i++) assert.is(await decoders.outcome(Buffer.from('ok')), 'ready')
  for (const one of stopping) one.abort(new Error('stop'))
  assert.equal(await Promise.all(hanging), Array(atOnce).fill('Error: stop'))
  assert.equal(await Promise.all(later), Array(5).fill('ready'))
  await decoders.untilLargeWaiting(0)
})

test('an image that would never fit into the memory is rejected before it is decoded', async () => {
  const decoders = startDecoders({ memoryBytes: 1024 * MiB, maxPixels: 268_402_689 })
  const bomb = interlacedPng(16_383, { isCut: true })
  const bombs = Array.from({ length: 4 }, () => decoders.outcome(bomb))
  assert.is(await decoders.outcome(await sampleImage('image/png')), 'ready')
  assert.equal(await Promise.all(bombs), Array(4).fill('image_too_large'))
})

test('an image of more pixels than the limit is rejected by its header', async () => {
  const decoders = startDecoders({ memoryBytes: 512 * MiB })
  assert.is(
    await decoders.outcome(interlacedPng(10_001, { channels: 1, isCut: true })),
    'image_too_many_pixels',
  )
})

test('images that fit one at a time are rendered one after the other', async () => {
  // A PNG of 4 megapixels, which is interlaced and has 16 bits, takes up to 160 MB, and there are 275 MB.
  const decoders = startDecoders({ memoryBytes: 350 * MiB })
  const png = interlacedPng(2_000)
  const outcomes = [decoders.outcome(png), decoders.outcome(png)]
  await decoders.untilLargeWaiting(1)
  assert.equal(await Promise.all(outcomes), ['ready', 'ready'])
})

test('files beyond the memory for files wait, and a file that will never fit is rejected', async () => {
  const decoders = startDecoders({ memoryBytes: 400 * MiB })
  const { signal } = new AbortController()
  const release = await decoders.reserveFile(70 * MiB, signal)
  let isAdmitted = false
  const second = decoders.reserveFile(70 * MiB, signal).then(() => {
    isAdmitted = true
  })
  await decoders.reserveFile(5 * MiB, signal)
  assert.is(isAdmitted, false)
  release()
  await second
  const { limits } = decoders.usage()
  assert.equal(limits, { files: 100 * MiB, decoders: 300 * MiB })
  const refused = await decoders.reserveFile(100 * MiB + 1, signal).catch((error: unknown) => error)
  assert.ok(refused instanceof AppError)
  assert.equal([refused.code, refused.limit], ['image_too_large', 100 * MiB])
})

test('a file of exactly the memory for files is admitted, once the others have gone', async () => {
  const decoders = startDecoders({ memoryBytes: 400 * MiB })
  const { signal } = new AbortController()
  const release = await decoders.reserveFile(1, signal)
  let isAdmitted = false
  const whole = decoders.reserveFile(100 * MiB, signal).then((done) => {
    isAdmitted = true
    return done
  })
  await new Promise(setImmediate)
  assert.equal([isAdmitted, decoders.usage().reserved.files], [false, 1])
  release()
  const done = await whole
  assert.is(decoders.usage().reserved.files, 100 * MiB)
  done()
  assert.is(decoders.usage().reserved.files, 0)
})

test.run()
