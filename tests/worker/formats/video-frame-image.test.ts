import { AppError } from '@millrace/shared/service/app-error.ts'
import { openImage } from '@millrace/worker/formats/open-image.ts'
import { writeVideoFrame } from '@millrace/worker/headers/video-frame.ts'
import { videoFrameKind } from '@millrace/worker/headers/video-frame-kind.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('frames of videos')
const geometry = { width: 100, height: 50, rotation: 0, isMirrored: false, lacksMatrix: false } as const
const ffmpeg = '/nonexistent/ffmpeg'

/** Opens a frame, which does not run ffmpeg. @returns its size, or the code of its rejection */
async function outcomeOf(
  changes: { width?: number; rotation?: 0 | 90 | 180 | 270 },
  limits: { maxPixels: number; ffmpeg?: string },
): Promise<string> {
  const file = writeVideoFrame({ ...geometry, ...changes }, Buffer.alloc(8))
  return openImage(videoFrameKind, file, limits).then(
    ({ width, height }) => `${width}×${height}`,
    (error: unknown) => (error instanceof AppError ? error.code : String(error)),
  )
}

test('a frame of exactly the limit of pixels is opened, and one of more is rejected before ffmpeg runs', async () => {
  assert.is(await outcomeOf({}, { maxPixels: 5_000, ffmpeg }), '100×50')
  assert.is(await outcomeOf({ width: 101 }, { maxPixels: 5_000, ffmpeg }), 'image_too_many_pixels')
})

test('a frame has the size in which it is displayed', async () => {
  for (const [rotation, size] of [
    [0, '100×50'],
    [90, '50×100'],
    [180, '100×50'],
    [270, '50×100'],
  ] as const) {
    assert.is(await outcomeOf({ rotation }, { maxPixels: 5_000, ffmpeg }), size)
  }
})

test('without ffmpeg a frame is not supported, and if ffmpeg does not start it cannot be decoded', async () => {
  assert.is(await outcomeOf({}, { maxPixels: 5_000 }), 'image_not_supported')
  const image = await openImage(videoFrameKind, writeVideoFrame(geometry, Buffer.alloc(8)), {
    maxPixels: 5_000,
    ffmpeg,
  })
  const selection = { page: 0, isAnimated: false, size: { width: 9, height: 9 } }
  const error = await image.decode(selection, async () => 'decoded').catch((thrown: unknown) => thrown)
  assert.ok(error instanceof AppError)
  assert.equal([error.code, error.message], ['image_corrupt', 'The frame of the video cannot be decoded.'])
})

test('only a whole file of the worker itself is a frame', async () => {
  const file = writeVideoFrame(geometry, Buffer.alloc(8))
  for (const bytes of [Buffer.alloc(0), Buffer.from('{}'), file.subarray(0, 20)]) {
    const error = await openImage(videoFrameKind, bytes, { maxPixels: 5_000, ffmpeg }).catch(String)
    assert.is(error, 'Error: The file is no frame of a video.')
  }
})

test.run()
