import { corruptImage } from '@millrace/worker/formats/corrupt-image.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { sampleImage, sampleKinds, truncated } from '../support/sample-images.ts'

const test = suite('errors of damaged images')

const names = { jpeg: 'JPEG', png: 'PNG', webp: 'WebP', avif: 'AVIF', gif: 'GIF', tiff: 'TIFF' } as const

for (const kind of sampleKinds) {
  test(`a ${kind} that cannot be decoded is incomplete if it is cut, and damaged otherwise`, async () => {
    const file = await sampleImage(kind, 24, 16)
    const name = Object.entries(names).find(([type]) => kind.endsWith(type))?.[1]
    const thrown = new Error('a text of libvips')
    const whole = corruptImage(kind, file, thrown)
    assert.equal(
      [whole.code, whole.retryable, whole.message, whole.cause],
      ['image_corrupt', false, `The ${name} is damaged: its image data cannot be decoded.`, thrown],
    )
    const cut = corruptImage(kind, truncated(file), thrown)
    assert.equal(
      [cut.code, cut.message],
      ['image_corrupt', `The ${name} is incomplete: the file ends before the end of the image.`],
    )
  })
}

test('a lack of memory is no fault of the file, whole or cut', async () => {
  const file = await sampleImage('image/png', 24, 16)
  for (const text of [
    'out of memory --- size == 48MB',
    'VipsImage: unable to malloc 1000 bytes',
    'unable to alloc',
  ]) {
    for (const bytes of [file, truncated(file)]) {
      const error = corruptImage('image/png', bytes, new Error(text))
      assert.equal([error.code, error.retryable], ['processing_failed', true], text)
    }
  }
})

test.run()
