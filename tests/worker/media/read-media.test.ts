import type { Findings } from '@millrace/shared/uploads/upload.ts'
import { readVideoFrame } from '@millrace/worker/headers/video-frame.ts'
import { RangeRefusedError } from '@millrace/worker/media/file-ranges.ts'
import { readMedia } from '@millrace/worker/media/read-media.ts'
import { ALL_FORMATS, BufferSource, Input } from 'mediabunny'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { mediaFile, rangesOf, withGap } from '../support/media-files.ts'

const test = suite('metadata of video and audio')

type Ranges = { size: number; readRange(start: number, end: number): Buffer }

/** Reads a file's metadata. */
async function read(file: Ranges, { takesFrame = true } = {}) {
  const warnings: string[] = []
  const pictures: { from: string; bytes: Buffer }[] = []
  let findings: Findings = {}
  await readMedia(
    file,
    { takesFrame },
    {
      onFindings({ warnings: more = [], ...found }) {
        warnings.push(...more)
        findings = { ...findings, ...found }
      },
      onPicture: (picture) => pictures.push(picture),
    },
  )
  return { findings, warnings, pictures }
}

const landscape = { width: 160, height: 96, rotation: 0 }
const files: [name: string, findings: Findings, picture: 'frame' | 'cover' | undefined][] = [
  ['mp4-faststart.mp4', { durationMs: 2000, ...landscape, videoCodec: 'avc', audioCodec: 'aac' }, 'frame'],
  ['mp4-moov-at-end.mp4', { durationMs: 2000, ...landscape, videoCodec: 'avc', audioCodec: 'aac' }, 'frame'],
  ['mp4-rotated.mp4', { durationMs: 2000, width: 96, height: 160, rotation: 90, videoCodec: 'avc' }, 'frame'],
  [
    'mp4-anamorphic.mp4',
    { durationMs: 2000, width: 213, height: 96, rotation: 0, videoCodec: 'avc' },
    'frame',
  ],
  ['mp4-fragmented.mp4', { durationMs: 2000, ...landscape, videoCodec: 'avc', audioCodec: 'aac' }, 'frame'],
  ['mp4-hevc.mp4', { durationMs: 2000, ...landscape, videoCodec: 'hevc' }, 'frame'],
  ['mp4-av1.mp4', { durationMs: 2000, ...landscape, videoCodec: 'av1' }, 'frame'],
  ['quicktime.mov', { durationMs: 2000, ...landscape, videoCodec: 'avc', audioCodec: 'aac' }, 'frame'],
  ['webm-vp9.webm', { durationMs: 2000, ...landscape, videoCodec: 'vp9' }, 'frame'],
  ['matroska.mkv', { durationMs: 2046, ...landscape, videoCodec: 'avc', audioCodec: 'aac' }, 'frame'],
  ['mpeg-ts.m2t', { durationMs: 2043, ...landscape, videoCodec: 'avc', audioCodec: 'aac' }, 'frame'],
  ['webm-opus.webm', { durationMs: 2051, audioCodec: 'opus' }, undefined],
  ['m4a-cover.m4a', { durationMs: 2000, audioCodec: 'aac' }, 'cover'],
  ['mp3-cover.mp3', { durationMs: 2116, audioCodec: 'mp3' }, 'cover'],
  ['flac-picture.flac', { durationMs: 1000, audioCodec: 'flac' }, 'cover'],
  ['ogg-opus.ogg', { durationMs: 2043, audioCodec: 'opus' }, undefined],
  ['wav-pcm.wav', { durationMs: 1000, audioCodec: 'pcm-u8' }, undefined],
  ['aac-adts.aac', { durationMs: 1068, audioCodec: 'aac' }, undefined],
]
for (const [name, findings, picture] of files) {
  test(`${name}: duration, size, turn and codecs are read, and a picture is found`, async () => {
    const ranges = rangesOf(await mediaFile(name))
    const result = await read(ranges)
    assert.equal(result.findings, findings)
    assert.equal(result.warnings, [])
    assert.equal(
      result.pictures.map(({ from }) => from),
      picture ? [picture] : [],
    )
    assert.equal(ranges.ranges.length, 1)
  })
}

test('a frame is the only thing in its Matroska file, with how it is turned beside it', async () => {
  const { pictures } = await read(rangesOf(await mediaFile('mp4-rotated.mp4')))
  const frame = readVideoFrame(pictures[0]?.bytes ?? Buffer.alloc(0))
  assert.equal(frame?.geometry, {
    width: 160,
    height: 96,
    rotation: 90,
    isMirrored: false,
    lacksMatrix: true,
  })
  const input = new Input({
    formats: ALL_FORMATS,
    source: new BufferSource(frame?.matroska ?? Buffer.alloc(0)),
  })
  const tracks = await input.getTracks()
  assert.equal(await Promise.all(tracks.map((track) => track.getCodec())), ['avc'])
  assert.is((await tracks[0]?.computePacketStats())?.packetCount, 1)
})

test('a video without its frame gives no picture', async () => {
  const { pictures } = await read(rangesOf(await mediaFile('mp4-faststart.mp4')), { takesFrame: false })
  assert.equal(pictures, [])
})

test('a video of 20 GB whose index is at its end is read with few requests', async () => {
  const file = await mediaFile('mp4-moov-at-end.mp4')
  const ranges = withGap(file, file.indexOf('moov') - 4, 20 * 1024 ** 3)
  const { findings, warnings, pictures } = await read(ranges)
  assert.equal([findings.durationMs, findings.videoCodec], [2000, 'avc'])
  assert.equal([warnings, pictures.length], [[], 1])
  assert.ok(ranges.ranges.length <= 4, `${ranges.ranges.length} requests`)
})

test('a file that is cut after its index keeps what the index says, with a warning', async () => {
  const video = await mediaFile('mp4-faststart.mp4')
  const { findings, warnings, pictures } = await read(rangesOf(video.subarray(0, video.length - 20)))
  assert.equal([findings.durationMs, findings.width, pictures.length], [2000, 160, 1])
  assert.equal(warnings, ['The file was cut: its index lists frames or sound that it does not contain.'])
})

test('a file that is cut before its index, is empty or has random bytes gives a warning', async () => {
  const video = await mediaFile('mp4-moov-at-end.mp4')
  const noise = Buffer.concat([video.subarray(0, 48), Buffer.alloc(4096, 0xa5)])
  for (const file of [video.subarray(0, 3000), Buffer.alloc(0), Buffer.from('RIFF'), noise]) {
    const { findings, warnings, pictures } = await read(rangesOf(file))
    assert.equal([findings, pictures], [{}, []])
    assert.equal(warnings, [
      'The duration and the codecs could not be read: the file is damaged, or unusual.',
    ])
  }
})

/** Refuses all requests but the first ones. */
function limited({ size, readRange }: Ranges, allowed: number): Ranges {
  let requests = 0
  return {
    size,
    readRange(start, end) {
      requests += 1
      if (requests > allowed) throw new RangeRefusedError(`request ${requests}`)
      return readRange(start, end)
    },
  }
}

test('a file whose index may not be read gives a warning', async () => {
  const file = await mediaFile('mp4-moov-at-end.mp4')
  for (const allowed of [0, 1]) {
    const ranges = withGap(file, file.indexOf('moov') - 4, 1024 ** 3)
    const { findings, warnings } = await read(limited(ranges, allowed))
    assert.equal(findings, {})
    assert.equal(warnings, [
      'The duration and the codecs could not be read: too much of the file would have to be read.',
    ])
  }
})

test('a file whose end may not be read keeps what its start says, with a warning', async () => {
  const stream = await mediaFile('mpeg-ts.m2t')
  const ranges = rangesOf(Buffer.concat(Array.from({ length: 100 }, () => stream)))
  const { findings, warnings, pictures } = await read(limited(ranges, 1))
  assert.equal(findings, { ...landscape, videoCodec: 'avc', audioCodec: 'aac' })
  assert.equal([pictures.length, warnings.length], [1, 1])
  assert.match(warnings[0] ?? '', /^The duration could not be read: too much/)
})

test.run()
