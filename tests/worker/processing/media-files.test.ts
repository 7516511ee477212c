import { randomBytes } from 'node:crypto'
import type { Findings } from '@millrace/shared/uploads/upload.ts'
import sharp from 'sharp'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { makeFakeFfmpeg } from '../support/fake-ffmpeg.ts'
import { mediaFile } from '../support/media-files.ts'
import { quarters } from '../support/sample-images.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('video and audio files')
let fleet: WorkerFleet

test.before(async () => {
  const ffmpeg = await makeFakeFfmpeg('picture')
  fleet = await startWorkerFleet({ environment: { FFMPEG: ffmpeg.path, DISABLED_TYPES: 'video/quicktime' } })
  await fleet.startWorker()
})
test.after(() => fleet.close())

/** Sends a file and waits for its end. @returns the record, without what differs from run to run */
async function send(bytes: Buffer) {
  const upload = await fleet.finished(await fleet.arrive(bytes))
  const { sha256, placeholder, dominantColor: _, perceptualHash: __, ...findings } = upload.findings
  assert.is(sha256?.length, 64)
  return { ...upload, findings, hasPlaceholder: placeholder !== undefined }
}

const defaultNames = ['w1920', 'w960', 'w320', 'thumbnail']

test('a video becomes ready with its findings, and variants of a frame', async () => {
  const upload = await send(await mediaFile('mp4-moov-at-end.mp4'))
  assert.is(upload.state, 'ready')
  assert.equal(upload.findings, {
    detectedType: 'video/mp4',
    durationMs: 2000,
    width: 160,
    height: 96,
    rotation: 0,
    videoCodec: 'avc',
    audioCodec: 'aac',
  } satisfies Findings)
  assert.is(upload.hasPlaceholder, true)
  assert.equal(
    upload.variants.map(({ name }) => name),
    defaultNames,
  )
  const [largest] = upload.variants
  assert.equal([largest?.width, largest?.height], [160, 96])
  assert.is(await quarters(await fleet.object(largest?.key ?? '')), 'red green blue yellow')
})

test('a video that players turn has its size and its variants as displayed', async () => {
  const { findings, variants } = await send(await mediaFile('mp4-rotated.mp4'))
  assert.equal([findings.width, findings.height, findings.rotation], [96, 160, 90])
  assert.equal([variants[0]?.width, variants[0]?.height], [96, 160])
})

test('a recording becomes ready with variants of its cover, and without a size', async () => {
  for (const [name, type, codec] of [
    ['mp3-cover.mp3', 'audio/mpeg', 'mp3'],
    ['flac-picture.flac', 'audio/flac', 'flac'],
  ] as const) {
    const { state, findings, variants, hasPlaceholder } = await send(await mediaFile(name))
    const { durationMs, ...rest } = findings
    assert.equal([state, rest], ['ready', { detectedType: type, audioCodec: codec }])
    assert.ok(durationMs !== undefined && durationMs >= 1000)
    assert.is(hasPlaceholder, true)
    const { width, height } = await sharp(await fleet.object(variants[0]?.key ?? '')).metadata()
    assert.equal([variants.length, width, height], [4, 64, 64])
  }
})

test('a damaged video stays ready, with a warning', async () => {
  const video = await mediaFile('mp4-moov-at-end.mp4')
  const { state, findings, variants } = await send(video.subarray(0, 3000))
  assert.equal([state, variants], ['ready', []])
  assert.equal(findings.warnings, [
    'The duration and the codecs could not be read: the file is damaged, or unusual.',
  ])
})

test('a damaged cover is a warning, and no variants', async () => {
  const recording = await mediaFile('mp3-cover.mp3')
  const start = recording.indexOf(Buffer.from([0xff, 0xd8, 0xff]))
  randomBytes(200).copy(recording, start + 3)
  const { state, findings, variants } = await send(recording)
  assert.equal([state, variants, findings.audioCodec], ['ready', [], 'mp3'])
  assert.is(findings.warnings?.length, 1)
  assert.match(findings.warnings?.[0] ?? '', /^The cover could not be shown: /)
})

test('video of a format without a parser, or of a disabled type, is stored without being examined', async () => {
  for (const [name, type] of [
    ['avi-mpeg4.avi', 'video/vnd.avi'],
    ['quicktime.mov', 'video/quicktime'],
  ] as const) {
    const { state, findings, variants } = await send(await mediaFile(name))
    assert.equal([state, findings, variants], ['ready', { detectedType: type }, []])
  }
})

test('a video whose checksum differs from the announced one is rejected before it is examined', async () => {
  const video = await mediaFile('mp4-faststart.mp4')
  const upload = await fleet.finished(await fleet.arrive(video, { declaredSha256: '0'.repeat(64) }))
  assert.equal([upload.state, upload.error?.code, upload.variants], ['rejected', 'checksum_mismatch', []])
  assert.is(upload.findings.durationMs, undefined)
})

test.run()
