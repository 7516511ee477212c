import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Preset } from '@millrace/shared/presets/preset.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createAdmission } from '@millrace/worker/decoders/admission.ts'
import { createDecoderPool } from '@millrace/worker/decoders/decoder-pool.ts'
import { readProcessUsage } from '@millrace/worker/decoders/process-usage.ts'
import { createImageRenderer } from '@millrace/worker/decoders/render-image.ts'
import { videoFrameKind } from '@millrace/worker/headers/video-frame-kind.ts'
import { type MediaPicture, readMedia } from '@millrace/worker/media/read-media.ts'
import sharp from 'sharp'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { compileCacheVariables } from '../support/compile-cache.ts'
import { makeFakeFfmpeg } from '../support/fake-ffmpeg.ts'
import { mediaFile, systemFfmpeg } from '../support/media-files.ts'
import { quarters } from '../support/sample-images.ts'

const test = suite('posters of videos', {}, { limitMs: 60_000 })
const preset: Preset = {
  name: 'one',
  variants: [{ name: 'only', fit: 'inside', width: 1000, format: 'png', quality: 80 }],
}
const pool = createDecoderPool({
  program: fileURLToPath(import.meta.resolve('@millrace/worker/decoders/decoder-main.ts')),
  environment: compileCacheVariables,
  recycle: { jobs: 100, rssBytes: 1024 ** 3 },
})
test.after(() => pool.close())

/** Takes the key frame of a video. */
async function frameOf(name: string): Promise<Buffer> {
  const file = await mediaFile(name)
  const readRange = (start: number, end: number) => file.subarray(start, end)
  const frame = Promise.withResolvers<Buffer>()
  const listener = { onFindings: () => {}, onPicture: ({ bytes }: MediaPicture) => frame.resolve(bytes) }
  await readMedia({ size: file.length, readRange }, { takesFrame: true }, listener)
  return frame.promise
}

/** Renders a frame with a program in the place of ffmpeg. @returns the variant or the error */
async function render(
  ffmpeg: string,
  bytes: Buffer,
  { wallMs = 60_000, signal = new AbortController().signal } = {},
): Promise<unknown> {
  const plenty = { capacity: 1024 ** 3, largeCapacity: 1024 ** 3 }
  const renderImage = createImageRenderer({
    pool,
    memory: createAdmission(plenty),
    processes: createAdmission(plenty),
    memoryBytes: 1024 ** 3,
    keptBytes: 1024 ** 3,
    maxPixels: 100_000_000,
    limits: { cpuMs: 60_000, wallMs },
    ffmpeg,
  })
  let poster: Buffer | undefined
  const options = {
    signal,
    onInspected: () => {},
    emit: ({ body }: { body: Buffer }) => {
      poster = body
    },
  }
  return renderImage({ kind: videoFrameKind, bytes, preset }, options).then(
    () => poster,
    (error: unknown) => error,
  )
}

async function poster(ffmpeg: string, name: string): Promise<Buffer> {
  const rendered = await render(ffmpeg, await frameOf(name))
  if (!Buffer.isBuffer(rendered)) throw rendered
  return rendered
}

test('ffmpeg gets one key frame through a pipe, and no files, no network and no environment', async () => {
  const ffmpeg = await makeFakeFfmpeg('picture')
  const variant = await poster(ffmpeg.path, 'mp4-faststart.mp4')
  const { width, height } = await sharp(variant).metadata()
  assert.equal([width, height, await quarters(variant)], [160, 96, 'red green blue yellow'])
  const { pid: _, ...seen } = (await ffmpeg.seen()) ?? {}
  assert.equal(seen, {
    environment: [],
    format: 'Matroska',
    codecs: ['avc'],
    packets: 1,
    arguments: [
      ...['-nostdin', '-loglevel', 'quiet', '-timelimit', '30', '-filter_threads', '1'],
      ...['-protocol_whitelist', 'pipe', '-format_whitelist', 'matroska', '-f', 'matroska'],
      ...['-codec_whitelist', 'h264,hevc,vp8,vp9,libdav1d,av1,libaom-av1,prores', '-max_pixels', '100000000'],
      ...['-threads', '1', '-noautorotate', '-i', 'pipe:0', '-an', '-sn', '-dn', '-frames:v', '1'],
      ...['-vf', 'scale=160:96:flags=bicubic+accurate_rnd+full_chroma_int', '-threads', '1'],
      ...['-c:v', 'ppm', '-pix_fmt', 'rgb24', '-f', 'image2pipe', 'pipe:1'],
    ],
  })
})

test('ffmpeg is told to turn a frame, and to stretch one with pixels that are not square', async () => {
  const ffmpeg = await makeFakeFfmpeg('picture')
  for (const [name, size, filters] of [
    ['mp4-rotated.mp4', [96, 160], /^scale=160:96:\S+,transpose=clock$/],
    ['mp4-anamorphic.mp4', [213, 96], /^scale=213:96:\S+int$/],
  ] as const) {
    const { width, height } = await sharp(await poster(ffmpeg.path, name)).metadata()
    assert.equal([width, height], size)
    const given = (await ffmpeg.seen())?.arguments ?? []
    assert.match(given[given.indexOf('-vf') + 1] ?? '', filters)
  }
})

for (const does of ['fail', 'flood'] as const) {
  test(`a frame is damaged if ffmpeg does "${does}"`, async () => {
    const { path } = await makeFakeFfmpeg(does)
    const error = await render(path, await frameOf('mp4-faststart.mp4'))
    assert.is(error instanceof AppError && error.code, 'image_corrupt')
  })
}

test('ffmpeg ends with its decoder: when the job is aborted, exceeds a limit, or its decoder is killed', async () => {
  const frame = await frameOf('mp4-faststart.mp4')
  for (const does of ['hang', 'spin'] as const) {
    const ffmpeg = await makeFakeFfmpeg(does)
    const stopping = new AbortController()
    const rendered = render(ffmpeg.path, frame, { signal: stopping.signal })
    const pid = await startedPid(ffmpeg)
    stopping.abort(new Error('stop'))
    assert.is(String(await rendered), 'Error: stop')
    await ended(pid)
  }
  const ffmpeg = await makeFakeFfmpeg('hang')
  const orphaned = render(ffmpeg.path, frame)
  const orphan = await startedPid(ffmpeg)
  for (const decoder of pool.busyPids()) process.kill(decoder ?? 0, 'SIGKILL')
  const failed = await orphaned
  assert.is(failed instanceof AppError && failed.code, 'processing_failed')
  await ended(orphan)
  const error = await render(ffmpeg.path, frame, { wallMs: 500 })
  assert.is(error instanceof AppError && error.code, 'poison_file')
  const pid = (await ffmpeg.seen())?.pid
  if (pid !== undefined) await ended(pid)
})

/** Waits until the program has read its input. It polls for the file that it writes. */
async function startedPid(ffmpeg: Awaited<ReturnType<typeof makeFakeFfmpeg>>): Promise<number> {
  for (;;) {
    const seen = await ffmpeg.seen()
    if (seen) return seen.pid
    await delay(10)
  }
}

async function ended(pid: number): Promise<void> {
  while (existsSync(`/proc/${pid}`)) await delay(10)
}

test('the usage of a process includes its children', async () => {
  if (!readProcessUsage(process.pid)) return
  const before = readProcessUsage(process.pid)?.rssBytes ?? 0
  const large =
    'const kept = Buffer.alloc(32 * 1024 ** 2, 1); process.stdout.write("ok"); process.stdin.resume()'
  const child = spawn(process.execPath, ['-e', large], { stdio: ['pipe', 'pipe', 'inherit'] })
  await new Promise((resolve) => child.stdout.once('data', resolve))
  const grown = (readProcessUsage(process.pid)?.rssBytes ?? 0) - before
  child.stdin.end()
  // The child has some 75 MiB. This process may have given some memory back meanwhile.
  assert.ok(grown > 40 * 1024 ** 2, `${grown} bytes`)
  await new Promise((resolve) => child.once('close', resolve))
})

const videos = ['mp4-faststart.mp4', 'mp4-hevc.mp4', 'mp4-av1.mp4', 'webm-vp9.webm', 'mpeg-ts.m2t']
const installed = systemFfmpeg
if (installed === undefined) test.skip('ffmpeg decodes frames of all codecs', 'there is no ffmpeg')
else {
  test('ffmpeg decodes frames of all codecs', async () => {
    for (const name of videos) {
      assert.is(await quarters(await poster(installed, name)), 'red green blue yellow', name)
    }
    assert.is(await quarters(await poster(installed, 'mp4-rotated.mp4')), 'blue red yellow green')
  })
}

test.run()
