import { existsSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createAdmission } from '@millrace/worker/decoders/admission.ts'
import { createDecoderPool } from '@millrace/worker/decoders/decoder-pool.ts'
import { createMediaInspector } from '@millrace/worker/decoders/inspect-media.ts'
import { rangeLimits } from '@millrace/worker/media/file-ranges.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { compileCacheVariables } from '../support/compile-cache.ts'

const test = suite('examining media in decoders')
const program = fileURLToPath(import.meta.resolve('../support/faulty-media-decoder.ts'))
const preset = { name: 'none', variants: [] }
const tooMuch = 'The file could not be examined wholly: that would take too much time or memory.'

/** Each test ends its decoder or leaves one that is idle. */
const pool = createDecoderPool({
  program,
  environment: compileCacheVariables,
  recycle: { jobs: 100, rssBytes: 1024 ** 3 },
})
test.after(pool.close)

function createInspector({ cpuMs = 20_000 }: { cpuMs?: number } = {}) {
  const plenty = { capacity: 1024 ** 3, largeCapacity: 1024 ** 3 }
  const inspectMedia = createMediaInspector({
    pool,
    memory: createAdmission(plenty),
    processes: createAdmission(plenty),
    memoryBytes: 1024 ** 3,
    keptBytes: 1024 ** 3,
    limits: { cpuMs, wallMs: 20_000 },
  })
  return (
    kind: string,
    {
      readRange = async (start: number, end: number) => Buffer.alloc(end - start),
      signal = new AbortController().signal,
    } = {},
  ) => inspectMedia({ kind, size: 100, preset, readRange }, signal)
}

/** Waits until a process has ended. It polls, because the system tells only a parent. */
async function ended(pid: string | undefined): Promise<void> {
  while (existsSync(`/proc/${pid}`)) await delay(10)
}

for (const [command, cpuMs] of [
  ['crash', 20_000],
  ['spin', 200],
  ['two ranges', 20_000],
  ['end while reading', 20_000],
] as const) {
  test(`a decoder that does "${command}" with a video is ended, and the video keeps its findings and a warning`, async () => {
    const inspect = createInspector({ cpuMs })
    // A range that is never answered shows that the decoder did not wait for it.
    const { findings } = await inspect(command, { readRange: () => new Promise<never>(() => {}) })
    assert.equal(findings.warnings, [tooMuch])
    await ended(findings.videoCodec)
    assert.is((await inspect('ok')).findings.warnings, undefined)
  })
}

test('a decoder gets no bytes outside of the file, and no more than its limit of requests', async () => {
  const ranges: string[] = []
  const readRange = async (start: number, end: number) => {
    ranges.push(`${start}-${end}`)
    return Buffer.alloc(end - start)
  }
  const inspect = createInspector()
  // The program does not catch the refusal.
  assert.equal((await inspect('outside', { readRange })).findings.warnings, [tooMuch])
  assert.equal(ranges, [])
  assert.equal((await inspect('too much', { readRange })).findings.warnings, [tooMuch])
  assert.is(ranges.length, 2 * rangeLimits.requests)
})

test('an error of S3 is thrown as it is, and the decoder is ended', async () => {
  const inspect = createInspector()
  const outage = new AppError('dependency_unavailable')
  const failed = await inspect('ok', { readRange: () => Promise.reject(outage) }).catch(
    (error: unknown) => error,
  )
  assert.is(failed, outage)
})

test('an abort while a range is read ends the decoder', async () => {
  const inspect = createInspector()
  const pid = (await inspect('ok')).findings.videoCodec
  const stopping = new AbortController()
  const asked = Promise.withResolvers<void>()
  const inspected = inspect('ok', {
    signal: stopping.signal,
    readRange: () => {
      asked.resolve()
      return new Promise(() => {})
    },
  }).catch((error: unknown) => error)
  await asked.promise
  stopping.abort(new Error('stop'))
  assert.is(String(await inspected), 'Error: stop')
  await ended(pid)
})

test('a fault of ours fails the attempt', async () => {
  const error = await createInspector()('throw').catch((thrown: unknown) => thrown)
  assert.is(error instanceof AppError && error.code, 'processing_failed')
})

test.run()
