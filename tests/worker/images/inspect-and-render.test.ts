import { defaultPreset, type Preset } from '@millrace/shared/presets/preset.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { isImageKind } from '@millrace/worker/formats/image-kind.ts'
import { openImage } from '@millrace/worker/formats/open-image.ts'
import { type RenderedVariant, renderVariants } from '@millrace/worker/images/render-variants.ts'
import { libraryPixelLimit } from '@millrace/worker/pixels/library-pixel-limit.ts'
import { detectMediaType, typeHeadBytes } from '@millrace/worker/types/detect-type.ts'
import sharp from 'sharp'
import { thumbHashToApproximateAspectRatio } from 'thumbhash'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import {
  animation,
  damaged,
  decompressionBomb,
  phonePhoto,
  quarters,
  sampleImage,
  sampleKinds,
  samplePicture,
  truncated,
} from '../support/sample-images.ts'

const test = suite('inspect and render')

/** Inspects and renders a file as the worker does. */
async function render(bytes: Buffer, preset: Preset = defaultPreset, maxPixels = libraryPixelLimit) {
  const kind = await detectMediaType(bytes.subarray(0, typeHeadBytes))
  if (!isImageKind(kind)) throw new Error(`not an image: ${kind}`)
  const image = await openImage(kind, bytes, { maxPixels })
  const variants = new Map<string, RenderedVariant>()
  const { placeholder = '' } = await renderVariants(image, preset, {
    emit: (variant) => variants.set(variant.recipe.name, variant),
    signal: new AbortController().signal,
  })
  return { image, kind, placeholder, body: (name: string) => variantOf(variants, name).body, variants }
}

function variantOf(variants: Map<string, RenderedVariant>, name: string): RenderedVariant {
  const variant = variants.get(name)
  if (!variant) throw new Error(`no variant ${name}`)
  return variant
}

async function rejection(work: Promise<unknown>): Promise<AppError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  if (error instanceof AppError) return error
  throw new Error('expected an AppError', { cause: error })
}

/** Width × height, read from the file. */
async function sizeOf(body: Buffer) {
  const { width, height } = await sharp(body).metadata()
  return `${width}×${height}`
}

const small: Preset = {
  name: 'small',
  variants: [
    { name: 'wide', fit: 'inside', width: 64, format: 'webp', quality: 80, effort: 0 },
    { name: 'thumb', fit: 'cover', width: 20, height: 20, format: 'jpeg', quality: 80 },
  ],
}

for (const kind of sampleKinds) {
  test(`all variants of ${kind} are rendered`, async () => {
    const { image, kind: found, variants, body, placeholder } = await render(await sampleImage(kind))
    assert.is(`${found} ${image.width}×${image.height}`, `${kind} 240×160`)
    for (const name of ['w1920', 'w960', 'w320']) {
      assert.is((await sharp(body(name)).metadata()).format, 'webp')
      assert.is(await sizeOf(body(name)), '240×160')
    }
    assert.is((await sharp(body('thumbnail')).metadata()).format, 'jpeg')
    assert.is(await sizeOf(body('thumbnail')), '200×160', 'a variant is not enlarged')
    assert.is(await quarters(body('w320')), 'red green blue yellow')
    assert.is(variants.size, 4)
    assert.ok(thumbHashToApproximateAspectRatio(Buffer.from(placeholder, 'base64')) > 1)
  })

  test(`a truncated ${kind} is rejected`, async () => {
    const error = await rejection(render(truncated(await sampleImage(kind)), small))
    assert.is(error.code, 'image_corrupt')
    assert.match(
      error.message,
      /^The \w+ is (incomplete: the file ends before the end of the image|damaged: its image data cannot be decoded)\.$/,
    )
  })

  test(`${kind} with a flipped bit is rendered or rejected`, async () => {
    const original = await sampleImage(kind, 60, 40)
    for (let at = 0; at < original.length; at += Math.ceil(original.length / 40)) {
      const flipped = Buffer.from(original)
      flipped.writeUInt8(flipped.readUInt8(at) ^ 0x10, at)
      // Most formats have no checksum, so a file with a flipped bit may still be a valid image.
      await render(flipped, small).catch((error: unknown) => {
        if (error instanceof AppError && /^image_/.test(error.code)) return
        if (error instanceof Error && error.message.startsWith('not an image')) return
        throw new Error(`bit 4 of byte ${at}`, { cause: error })
      })
    }
  })
}

// Not WebP: lossy VP8 decodes any bits into an image and has no checksum.
for (const kind of ['image/jpeg', 'image/png', 'image/avif', 'image/gif', 'image/tiff'] as const) {
  test(`a damaged ${kind} is rejected`, async () => {
    const error = await rejection(render(damaged(await sampleImage(kind)), small))
    assert.is(error.code, 'image_corrupt')
    assert.match(error.message, /^The \w+ is /)
  })
}

test('the error of a truncated JPEG says that it is incomplete', async () => {
  const error = await rejection(render(truncated(await sampleImage('image/jpeg'))))
  assert.is(error.message, 'The JPEG is incomplete: the file ends before the end of the image.')
})

test('a JPEG without its last rows is rejected however small its variants are', async () => {
  const photo = await samplePicture(1500, 1000).jpeg({ quality: 90 }).toBuffer()
  const error = await rejection(render(photo.subarray(0, photo.length - 700), small))
  assert.is(error.message, 'The JPEG is incomplete: the file ends before the end of the image.')
})

test('an error of ours passes a decoder unchanged', async () => {
  const image = await openImage('image/jpeg', await sampleImage('image/jpeg'), {
    maxPixels: libraryPixelLimit,
  })
  const ours = new AppError('image_too_complex')
  const selection = { page: 0, isAnimated: false, size: { width: 9, height: 9 } }
  assert.is(await rejection(image.decode(selection, () => Promise.reject(ours))), ours)
})

test('the error of a truncated PNG, WebP, GIF and AVIF says that it is incomplete', async () => {
  for (const kind of ['image/png', 'image/webp', 'image/gif', 'image/avif'] as const) {
    assert.match((await rejection(render(truncated(await sampleImage(kind))))).message, /incomplete/, kind)
  }
})

for (let orientation = 1; orientation <= 8; orientation++) {
  test(`an image with EXIF orientation ${orientation} is rendered upright`, async () => {
    const bytes = await phonePhoto(120, 80, { orientation })
    const { image, body } = await render(bytes, small)
    const isRotated = orientation >= 5
    assert.is(`${image.width}×${image.height}`, isRotated ? '80×120' : '120×80')
    assert.is(await sizeOf(body('wide')), isRotated ? '64×96' : '64×43')
    // EXIF 2.32, tag 274: where the stored first row and column are displayed.
    const expected = [
      'red green blue yellow',
      'green red yellow blue',
      'yellow blue green red',
      'blue yellow red green',
      'red blue green yellow',
      'blue red yellow green',
      'yellow green blue red',
      'green yellow red blue',
    ][orientation - 1]
    assert.is(await quarters(body('wide')), expected)
    assert.is(await quarters(body('thumb')), expected)
  })
}

test('variants contain no EXIF, GPS, XMP, IPTC and colour profiles', async () => {
  const bytes = await phonePhoto(120, 80)
  const before = await sharp(bytes).metadata()
  assert.ok(before.exif && before.xmp && before.iptc && before.icc, 'the photo has all of them')
  const preset: Preset = {
    name: 'all',
    variants: (['webp', 'jpeg', 'avif', 'png'] as const).map((format) => ({
      name: format,
      fit: 'inside',
      width: 100,
      format,
      quality: 60,
      ...(format === 'avif' && { effort: 0 }),
    })),
  }
  const { variants } = await render(bytes, preset)
  assert.is(variants.size, 4)
  for (const [name, { body }] of variants) {
    const after = await sharp(body).metadata()
    for (const kind of ['exif', 'xmp', 'iptc', 'icc', 'orientation'] as const) {
      assert.is(after[kind], undefined, `${kind} in ${name}`)
    }
    assert.is(body.includes('Millrace Phone'), false)
    assert.is(body.includes('home address'), false)
    assert.is(after.space, 'srgb')
  }
})

test('Display P3, CMYK, 16 bit, grey and Lab are converted to sRGB', async () => {
  const picture = () => samplePicture(96, 64)
  const inputs = {
    p3: await picture().withIccProfile('p3').jpeg({ quality: 95 }).toBuffer(),
    cmyk: await picture().toColourspace('cmyk').jpeg({ quality: 95 }).toBuffer(),
    rgb16: await picture().toColourspace('rgb16').png().toBuffer(),
    lab: await picture().toColourspace('lab').tiff({ compression: 'lzw' }).toBuffer(),
  }
  for (const [name, bytes] of Object.entries(inputs)) {
    const { body } = await render(bytes, small)
    assert.is(await quarters(body('wide')), 'red green blue yellow', name)
    assert.is((await sharp(body('wide')).metadata()).space, 'srgb', name)
    assert.is((await sharp(body('thumb')).metadata()).space, 'srgb', name)
  }
  const grey = await render(await picture().toColourspace('b-w').png().toBuffer(), small)
  const { channels } = await sharp(grey.body('wide')).stats()
  const means = channels.slice(0, 3).map(({ mean }) => Math.round(mean))
  assert.ok(Math.max(...means) - Math.min(...means) <= 2, `grey stays grey: ${means}`)
})

test('transparency is kept, or flattened on white if the format has none', async () => {
  const bytes = await sharp({ create: { width: 100, height: 100, channels: 4, background: '#ff000080' } })
    .png()
    .toBuffer()
  const { body } = await render(bytes, small)
  const pixel = await sharp(body('wide')).raw().toBuffer()
  assert.is(pixel.length, 64 * 64 * 4)
  const [red = 0, green = 0, , alpha = 0] = pixel
  assert.ok(red > 245 && green < 10, `colour is not darkened by transparency: ${red} ${green}`)
  assert.ok(Math.abs(alpha - 128) <= 2, `alpha ${alpha}`)
  const [r = 0, g = 0, b = 0] = await sharp(body('thumb')).raw().toBuffer()
  assert.ok(r > 250 && Math.abs(g - 127) < 6 && Math.abs(b - 127) < 6, `${r} ${g} ${b}`)
})

for (const kind of ['image/gif', 'image/webp'] as const) {
  test(`an animated ${kind} stays animated`, async () => {
    const { image, body } = await render(await animation(kind), small)
    assert.is(image.frames, 4)
    assert.is(`${image.width}×${image.height}`, '120×80')
    const animated = await sharp(body('wide'), { animated: true }).metadata()
    assert.equal(
      [animated.format, animated.pages, animated.width, animated.pageHeight, animated.loop],
      ['webp', 4, 64, 43, 3],
    )
    assert.equal(animated.delay, [100, 110, 120, 130])
    const still = await sharp(body('thumb')).metadata()
    assert.is(still.pages ?? 1, 1)
    const [red = 255, , blue = 0] = await sharp(body('thumb')).raw().toBuffer()
    assert.ok(red < 20 && blue > 180, `the thumbnail shows the first frame: ${red} ${blue}`)
  })
}

test('the pixel limit counts all frames of an animation', async () => {
  const bytes = await animation('image/gif', { frames: 4 })
  const error = await rejection(render(bytes, small, 120 * 80 * 4 - 1))
  assert.is(error.code, 'image_too_many_pixels')
  assert.is(error.message, 'The image has 120 × 80 pixels in 4 frames, 38,400 in total; the limit is 38,399.')
  await render(bytes, small, 120 * 80 * 4)
})

test('a decompression bomb is rejected by its header', async () => {
  const bomb = decompressionBomb()
  assert.ok(bomb.length < 100_000, `${bomb.length} bytes`)
  const error = await rejection(render(bomb))
  assert.is(error.code, 'image_too_many_pixels')
  assert.is(error.limit, libraryPixelLimit)
})

test('an image of a single pixel has all variants', async () => {
  const { body, placeholder } = await render(await sampleImage('image/png', 1, 1))
  for (const name of ['w1920', 'w960', 'w320', 'thumbnail']) assert.is(await sizeOf(body(name)), '1×1')
  assert.ok(placeholder.length > 0)
})

test('very wide and very high images have variants of at least one pixel', async () => {
  const wide = await render(await sampleImage('image/png', 4000, 2))
  assert.is(await sizeOf(wide.body('w1920')), '1920×1')
  assert.is(await sizeOf(wide.body('thumbnail')), '200×2')
  const high = await render(await sampleImage('image/png', 3, 17_000))
  assert.is(await sizeOf(high.body('w1920')), '3×16383', 'the maximum side of WebP')
  assert.is(await sizeOf(high.body('thumbnail')), '3×200')
})

test('each variant has its exact size', async () => {
  const { body } = await render(await sampleImage('image/jpeg', 2000, 1333))
  assert.is(await sizeOf(body('w1920')), '1920×1280')
  assert.is(await sizeOf(body('w960')), '960×640')
  assert.is(await sizeOf(body('w320')), '320×213')
  assert.is(await sizeOf(body('thumbnail')), '200×200')
  assert.is(await quarters(body('thumbnail')), 'red green blue yellow')
})

test('variants with the same bytes are encoded once', async () => {
  const { body } = await render(await sampleImage('image/jpeg', 300, 200))
  assert.is(body('w1920'), body('w960'))
  assert.is(body('w960'), body('w320'))
})

test('a variant is never made from a smaller raster, whatever the order of the preset', async () => {
  const preset: Preset = {
    name: 'mixed',
    variants: [
      { name: 'tiny', fit: 'inside', width: 30, format: 'webp', quality: 80, effort: 0 },
      { name: 'square', fit: 'cover', width: 300, height: 300, format: 'jpeg', quality: 80 },
      { name: 'box', fit: 'inside', width: 100, height: 50, format: 'png', quality: 80 },
    ],
  }
  const { body } = await render(await sampleImage('image/png', 600, 400), preset)
  assert.is(await sizeOf(body('square')), '300×300')
  assert.is(await sizeOf(body('box')), '75×50')
  assert.is(await sizeOf(body('tiny')), '30×20')
  for (const name of ['tiny', 'square', 'box']) assert.is(await quarters(body(name)), 'red green blue yellow')
})

test('a complete JPEG with format errors is rendered', async () => {
  const jpeg = await sampleImage('image/jpeg')
  // Some phones write this: the end of spectral selection of the scan is not 63.
  const scan = jpeg.indexOf(Buffer.from([0xff, 0xda]))
  const oddScan = Buffer.from(jpeg)
  oddScan[scan + 2 + jpeg.readUInt16BE(scan + 2) - 2] = 0
  const stray = Buffer.concat([jpeg.subarray(0, 20), Buffer.alloc(3), jpeg.subarray(20)])
  const trailing = Buffer.concat([jpeg, Buffer.from('PK\x03\x04 and a whole archive after it')])
  for (const odd of [oddScan, stray, trailing]) {
    const { body } = await render(odd, small)
    assert.is(await quarters(body('wide')), 'red green blue yellow')
    assert.is(body('wide').includes('archive'), false)
  }
  const error = await rejection(render(truncated(oddScan), small))
  assert.is(error.code, 'image_corrupt', 'with a format error and truncated')
})

test('rendering stops between two variants when it is aborted', async () => {
  const bytes = await sampleImage('image/jpeg', 300, 200)
  const image = await openImage('image/jpeg', bytes, { maxPixels: libraryPixelLimit })
  const stopping = new AbortController()
  let emitted = 0
  const emit = () => {
    emitted += 1
    stopping.abort(new Error('stop'))
  }
  const error = await renderVariants(image, defaultPreset, { emit, signal: stopping.signal }).catch((e) => e)
  assert.is(error.message, 'stop')
  assert.is(emitted, 1)
})

test('inspection rejects a file whose header is not of the given kind', async () => {
  const svg = Buffer.from(
    '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>',
  )
  const png = await sampleImage('image/png')
  for (const [kind, bytes] of [
    ['image/jpeg', svg],
    ['image/png', svg],
    ['image/jpeg', png],
  ] as const) {
    const error = await rejection(openImage(kind, bytes, { maxPixels: libraryPixelLimit }))
    assert.is(error.code, 'image_corrupt')
  }
})

test('the media type is detected from the bytes', async () => {
  const box = (brand: string) =>
    Buffer.concat([
      Buffer.from([0, 0, 0, 24]),
      Buffer.from(`ftyp${brand}\0\0\0\0mif1${brand}`),
      Buffer.alloc(64),
    ])
  const expected = [
    [Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'), 'image/svg+xml'],
    [Buffer.from('<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>'), 'image/svg+xml'],
    [Buffer.from('%PDF-1.7\n'), 'application/pdf'],
    [box('heic'), 'image/heic'],
    [Buffer.from('BM\0\0\0\0\0\0\0\0'), 'image/bmp'],
    [Buffer.from([0xff, 0x0a, 0, 0, 0, 0, 0, 0]), 'image/jxl'],
    [Buffer.from('PK\x05\x06'.padEnd(30, '\0'), 'latin1'), 'application/zip'],
    [Buffer.from('<!doctype html><script>alert(1)</script>'), 'text/html'],
    [Buffer.from('just text'), 'text/plain'],
    [Buffer.alloc(0), undefined],
  ] as const
  for (const [bytes, mediaType] of expected) {
    assert.is(await detectMediaType(bytes), mediaType)
  }
  for (const kind of sampleKinds) assert.is(await detectMediaType(await sampleImage(kind)), kind)
})

test('the media type of truncated XML is detected, and XML that is not well-formed is text', async () => {
  const long = Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg"><path d="${'M0 0'.repeat(3000)}"/></svg>`)
  assert.is(await detectMediaType(long.subarray(0, typeHeadBytes)), 'image/svg+xml')
  assert.is(await detectMediaType(Buffer.from('<a><b></a>< <<&&&')), 'text/plain')
})

test.run()
