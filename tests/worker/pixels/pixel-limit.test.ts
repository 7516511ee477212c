import { AppError } from '@millrace/shared/service/app-error.ts'
import { checkPixels } from '@millrace/worker/pixels/pixel-limit.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('pixel limit')

/** @returns what the owner of the file is told, or undefined if it is accepted */
function refusalOf(size: Parameters<typeof checkPixels>[0], maxPixels: number) {
  try {
    checkPixels(size, maxPixels)
    return undefined
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    return [error.code, error.limit, error.message]
  }
}

test('an image may have as many pixels as the limit in all frames together, and not one more', () => {
  assert.is(refusalOf({ width: 50, height: 40, frames: 1 }, 2_000), undefined)
  assert.is(refusalOf({ width: 50, height: 40, frames: 3 }, 6_000), undefined)
  assert.equal(refusalOf({ width: 50, height: 40, frames: 1 }, 1_999), [
    'image_too_many_pixels',
    1_999,
    'The image has 50 × 40 pixels, 2,000 in total; the limit is 1,999.',
  ])
  assert.equal(refusalOf({ width: 50, height: 40, frames: 3 }, 5_999), [
    'image_too_many_pixels',
    5_999,
    'The image has 50 × 40 pixels in 3 frames, 6,000 in total; the limit is 5,999.',
  ])
})

test.run()
