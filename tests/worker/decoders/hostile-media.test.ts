import { readdir } from 'node:fs/promises'
import type { Findings } from '@millrace/shared/uploads/upload.ts'
import { createDecoders } from '@millrace/worker/decoders/decoders.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { mediaFile } from '../support/media-files.ts'

const test = suite('hostile video and audio', {}, { limitMs: 60_000 })
const decoders = createDecoders({
  config: {
    slots: 2,
    maxImagePixels: 100_000_000,
    decoderCpuLimitMs: 1_500,
    decoderTimeLimitMs: 60_000,
    decoderMemoryBytes: 2 * 1024 ** 3,
    decoderPreload: undefined,
    // A frame is taken, and not decoded here.
    ffmpeg: '/nowhere',
  },
})
test.after(() => decoders.close())

async function inspect(file: Buffer): Promise<Findings> {
  const { signal } = new AbortController()
  const readRange = async (start: number, end: number) => file.subarray(start, end)
  const preset = { name: 'none', variants: [] }
  const { findings } = await decoders.inspectMedia(
    { kind: 'video/mp4', size: file.length, preset, readRange },
    signal,
  )
  return findings
}

test('a video whose index never ends is given up, and its neighbour is examined meanwhile', async () => {
  const [endless, neighbour] = await Promise.all([
    inspect(await mediaFile('mp4-endless.mp4')),
    inspect(await mediaFile('mp4-faststart.mp4')),
  ])
  assert.equal(endless.warnings, [
    'The file could not be examined wholly: that would take too much time or memory.',
  ])
  assert.equal([neighbour.durationMs, neighbour.warnings], [2000, undefined])
})

/** Returns the same numbers from 0 to below 1 for the same seed. */
function randomNumbers(seed: number) {
  let state = seed
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 2_246_822_519) + 0x9e3779b9) >>> 0
    return state / 2 ** 32
  }
}

/** Changes some bits and one number of a file, or cuts it. */
function damage(file: Buffer, random: () => number): Buffer {
  const bytes = Buffer.from(file)
  const within = (end: number) => Math.floor(random() * end)
  for (let flips = within(8); flips > 0; flips--) {
    const at = within(bytes.length)
    bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << within(8)), at)
  }
  if (random() < 0.3) {
    const numbers = [0, 1, 0x1000_0000, 0x7fff_ffff, 0xffff_ffff]
    bytes.writeUInt32BE(numbers[within(numbers.length)] ?? 0, within(Math.min(bytes.length - 4, 3_000)))
  }
  return random() < 0.3 ? bytes.subarray(0, within(bytes.length)) : bytes
}

test('damaged video and audio of all formats is examined without a failure', async () => {
  const seed = 12
  const names = await readdir(new URL('../../fixtures/media/', import.meta.url))
  const files = await Promise.all(names.filter((name) => !/endless|\.md$/.test(name)).map(mediaFile))
  const random = randomNumbers(seed)
  const damaged = files.flatMap((file) => Array.from({ length: 5 }, () => damage(file, random)))
  // Whatever is found, an exception would fail the test. One after another: a further decoder takes longer to start than all of them.
  for (const file of damaged) await inspect(file)
  assert.is((await inspect(await mediaFile('mp4-faststart.mp4'))).durationMs, 2000)
})

test.run()
