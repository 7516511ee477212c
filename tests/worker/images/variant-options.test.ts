import type { VariantRecipe } from '@millrace/shared/presets/preset.ts'
import { readCopyright } from '@millrace/worker/images/copyright.ts'
import sharp from 'sharp'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { isNear, pixelAt, renderOne, renderPreset, sizeOf } from '../support/render-preset.ts'
import { animation, phonePhoto, quarters, sampleImage, samplePicture } from '../support/sample-images.ts'
import { displayP3Png, twoPageTiff } from '../support/special-images.ts'

const test = suite('variant options')
const png = { format: 'png' } as const
const webp = { format: 'webp', effort: 0 } as const
const box = { width: 100, height: 100 } as const
/** 240 × 160, four quarters: red, green; blue, yellow. */
let photo: Buffer

test.before(async () => {
  photo = await sampleImage('image/png')
})

async function assertPixel(body: Buffer, x: number, y: number, color: number[], page = 0) {
  const pixel = await pixelAt(body, x, y, page)
  assert.ok(isNear(pixel, color), `${x}, ${y} is ${pixel}; expected ${color}`)
}

const [red, green, blue, yellow] = [
  [211, 31, 31],
  [31, 211, 31],
  [31, 31, 211],
  [211, 211, 31],
].map((color) => [...color, 255])
if (!red || !green || !blue || !yellow) throw new Error()

for (const [fit, size] of [
  ['inside', '100×67'],
  ['outside', '150×100'],
  ['cover', '100×100'],
  ['contain', '100×100'],
  ['fill', '100×100'],
] as const) {
  test(`fit ${fit} in a box of 100 × 100 makes ${size}`, async () => {
    const body = await renderOne(photo, { ...png, ...box, fit })
    assert.is(await sizeOf(body), size)
    assert.is(await quarters(body), 'red green blue yellow')
  })
}

test('contain adds a transparent border, which is white in a JPEG, or has the background colour', async () => {
  const transparent = await renderOne(photo, { ...png, ...box, fit: 'contain' })
  await assertPixel(transparent, 50, 5, [0, 0, 0, 0])
  await assertPixel(transparent, 20, 30, red)
  const white = await renderOne(photo, { ...box, fit: 'contain', format: 'jpeg' })
  await assertPixel(white, 50, 5, [255, 255, 255, 255])
  const pink = await renderOne(photo, {
    ...webp,
    ...box,
    fit: 'contain',
    background: '#ff88aa',
    lossless: true,
  })
  await assertPixel(pink, 50, 95, [255, 136, 170, 255])
})

test('position says on which side contain leaves no border', async () => {
  const top = await renderOne(photo, { ...png, ...box, fit: 'contain', position: 'top' })
  await assertPixel(top, 10, 2, red)
  await assertPixel(top, 10, 90, [0, 0, 0, 0])
  const bottom = await renderOne(photo, { ...png, ...box, fit: 'contain', position: 'right bottom' })
  await assertPixel(bottom, 10, 2, [0, 0, 0, 0])
  await assertPixel(bottom, 10, 97, blue)
})

test('position says what cover keeps', async () => {
  const strip = { ...png, fit: 'cover', width: 40, height: 80 } as const
  await assertPixel(await renderOne(photo, { ...strip, position: 'left' }), 35, 5, red)
  await assertPixel(await renderOne(photo, { ...strip, position: 'right top' }), 5, 5, green)
  const middle = await renderOne(photo, strip)
  await assertPixel(middle, 5, 5, red)
  await assertPixel(middle, 35, 5, green)
})

test('attention and entropy keep the part with details', async () => {
  const plain = sharp({ create: { width: 400, height: 100, channels: 3, background: '#808080' } })
  const detail = await samplePicture(80, 80).png().toBuffer()
  const bytes = await plain
    .composite([{ input: detail, left: 310, top: 10 }])
    .png()
    .toBuffer()
  for (const position of ['attention', 'entropy'] as const) {
    const body = await renderOne(bytes, { ...png, ...box, fit: 'cover', position })
    assert.not.ok(isNear(await pixelAt(body, 50, 50), [128, 128, 128, 255]), position)
  }
})

test('the focal point is in the middle of what cover keeps, as far as the edges allow', async () => {
  const strip = { ...png, fit: 'cover', position: 'focus', width: 40, height: 80 } as const
  const at = (x: number, y: number) => renderOne(photo, strip, { focus: { x, y } })
  await assertPixel(await at(0, 0.5), 38, 5, red)
  await assertPixel(await at(1, 0.5), 1, 5, green)
  const middle = await renderOne(photo, strip)
  await assertPixel(middle, 5, 5, red)
  await assertPixel(middle, 35, 5, green)
})

test('a variant with one side has the proportions of the image, and one without sides its size', async () => {
  assert.is(await sizeOf(await renderOne(photo, { ...png, width: 60 })), '60×40')
  assert.is(await sizeOf(await renderOne(photo, { ...png, height: 40 })), '60×40')
  assert.is(await sizeOf(await renderOne(photo, { ...png, height: 40, fit: 'outside' })), '60×40')
  assert.is(await sizeOf(await renderOne(photo, png)), '240×160')
})

test('nothing is enlarged unless withoutEnlargement is false', async () => {
  const large = { ...png, width: 480, height: 480 } as const
  const sizes = async (withoutEnlargement: boolean) => {
    const sizeWith = async (fit: NonNullable<VariantRecipe['fit']>) =>
      sizeOf(await renderOne(photo, { ...large, fit, withoutEnlargement }))
    return [
      await sizeWith('inside'),
      await sizeWith('outside'),
      await sizeWith('cover'),
      await sizeWith('fill'),
    ]
  }
  assert.equal(await sizes(true), ['240×160', '240×160', '240×160', '240×160'])
  assert.equal(await sizes(false), ['480×320', '720×480', '480×480', '480×480'])
  const contained = await renderOne(photo, { ...large, fit: 'contain' })
  assert.is(await sizeOf(contained), '480×480')
  await assertPixel(contained, 110, 240, [0, 0, 0, 0])
  await assertPixel(contained, 130, 170, red)
})

test('format original keeps the format of the original, or is WebP', async () => {
  for (const [kind, format] of [
    ['image/jpeg', 'jpeg'],
    ['image/png', 'png'],
    ['image/webp', 'webp'],
    ['image/tiff', 'webp'],
    ['image/gif', 'webp'],
  ] as const) {
    const { rendered } = await renderPreset(await sampleImage(kind, 60, 40), [
      { name: 'a', format: 'original' },
    ])
    const variant = rendered.get('a')
    assert.is(variant?.recipe.format, format)
    assert.is((await sharp(variant?.body).metadata()).format, format)
  }
})

test('a lossless variant has the pixels of the original', async () => {
  const lossless = await renderOne(photo, { ...webp, lossless: true })
  const [before, after] = await Promise.all([photo, lossless].map((body) => sharp(body).raw().toBuffer()))
  assert.ok(before && after?.equals(before))
  assert.not.ok(
    (
      await sharp(await renderOne(photo, webp))
        .raw()
        .toBuffer()
    ).equals(before),
  )
})

test('quality has a default for each format', async () => {
  for (const [format, quality] of [
    ['webp', 80],
    ['jpeg', 80],
    ['avif', 50],
  ] as const) {
    const recipe = { format, ...(format !== 'jpeg' && { effort: 0 }) }
    assert.ok((await renderOne(photo, recipe)).equals(await renderOne(photo, { ...recipe, quality })), format)
  }
})

test('an opaque background replaces transparency in every format', async () => {
  const half = await sharp({ create: { width: 60, height: 40, channels: 4, background: '#ff000080' } })
    .png()
    .toBuffer()
  await assertPixel(await renderOne(half, { ...png, background: '#0000ff' }), 5, 5, [128, 0, 127, 255])
  await assertPixel(await renderOne(half, { format: 'jpeg' }), 5, 5, [255, 127, 127, 255])
  await assertPixel(await renderOne(half, { ...png, background: 'transparent' }), 5, 5, [255, 0, 0, 128])
})

test('sharpen adds contrast to edges, and blur takes it away', async () => {
  const half = sharp({ create: { width: 60, height: 80, channels: 3, background: '#646464' } })
  const bytes = await half.extend({ right: 60, background: '#969696' }).png().toBuffer()
  const contrast = async (recipe: Partial<VariantRecipe>) => {
    const body = await renderOne(bytes, { ...png, width: 60, ...recipe })
    const edge = await sharp(body).extract({ left: 24, top: 5, width: 12, height: 20 }).raw().toBuffer()
    return Math.max(...edge) - Math.min(...edge)
  }
  const plain = await contrast({})
  assert.ok((await contrast({ sharpen: 2 })) > plain)
  assert.ok((await contrast({ sharpen: true })) > plain)
  assert.is(await contrast({ sharpen: false }), plain)
  assert.ok((await contrast({ blur: 15 })) < plain / 2)
})

test('sharpen is mild with true, and has the sigma that it names', async () => {
  const expected = (options?: { sigma: number }) => sharp(photo).sharpen(options).raw().toBuffer()
  const pixels = async (sharpen: true | number) =>
    sharp(await renderOne(photo, { ...png, sharpen }))
      .raw()
      .toBuffer()
  assert.ok((await pixels(true)).equals(await expected()))
  assert.ok((await pixels(2)).equals(await expected({ sigma: 2 })))
})

test('a watermark lies in its corner with its opacity, and its size depends on the variant', async () => {
  const image = (
    await sharp({ create: { width: 40, height: 20, channels: 4, background: '#ffffff' } })
      .png()
      .toBuffer()
  ).toString('base64')
  const marked = await renderOne(photo, { ...png, watermark: { image, scale: 0.5, margin: 0, opacity: 0.5 } })
  // 120 × 60 pixels at the right and bottom.
  await assertPixel(marked, 230, 150, [233, 233, 143, 255])
  await assertPixel(marked, 125, 105, [233, 233, 143, 255])
  await assertPixel(marked, 230, 95, yellow)
  await assertPixel(marked, 110, 150, blue)
  const small = await renderOne(photo, {
    ...png,
    width: 24,
    watermark: { image, position: 'left top', margin: 0.1 },
  })
  await assertPixel(small, 0, 0, red)
  await assertPixel(small, 4, 3, [255, 255, 255, 255])
  assert.is(
    await sizeOf(await renderOne(photo, { ...png, width: 1, watermark: { image, scale: 1, margin: 0.4 } })),
    '1×1',
  )
})

test('keepMetadata keeps copyright, artist and a profile, and never the place', async () => {
  const bytes = await phonePhoto(120, 80)
  for (const format of ['webp', 'jpeg', 'avif', 'png'] as const) {
    const body = await renderOne(bytes, {
      format,
      keepMetadata: true,
      ...(format === 'avif' && { effort: 0 }),
    })
    const { exif, icc, xmp, iptc, orientation = 1 } = await sharp(body).metadata()
    assert.equal(readCopyright(exif), { Copyright: 'someone' }, format)
    assert.ok(icc, format)
    assert.equal([xmp, iptc, orientation], [undefined, undefined, 1], format)
    assert.is(await sizeOf(body), '80×120')
    // GPS IFD pointer (EXIF 2.32, 4.6.3) in either byte order, and texts of the original.
    for (const text of ['\x88\x25', '\x25\x88\x04\x00', 'Millrace Phone', 'home address', 'GPS']) {
      assert.is(exif?.includes(Buffer.from(text, 'latin1')), false, `${JSON.stringify(text)} in ${format}`)
    }
  }
  const copyright = await renderOne(bytes, { format: 'jpeg', keepMetadata: ['copyright'] })
  assert.is((await sharp(copyright).metadata()).icc, undefined)
  const icc = await renderOne(bytes, { format: 'jpeg', keepMetadata: ['icc'] })
  assert.is((await sharp(icc).metadata()).exif, undefined)
  const none = await sharp(await renderOne(photo, { format: 'jpeg', keepMetadata: ['copyright'] })).metadata()
  assert.is(none.exif, undefined, 'an original without copyright')
})

test('readCopyright reads texts of any bytes without failing', async () => {
  const { exif } = await sharp(
    await samplePicture(8, 8)
      .withExif({ IFD0: { Copyright: 'Zoë © 2026', Artist: 'Zoë' } })
      .jpeg()
      .toBuffer(),
  ).metadata()
  if (!exif) throw new Error('no EXIF')
  assert.equal(readCopyright(exif), { Copyright: 'Zoe (C) 2026', Artist: 'Zoe' }, 'libvips writes ASCII')
  const withUtf8 = Buffer.from(exif)
  withUtf8.write('\u00a9', exif.indexOf('(C)'))
  assert.is(readCopyright(withUtf8)?.Copyright, 'Zoe \u00a9) 2026')
  assert.is(readCopyright(undefined), undefined)
  let seed = 3
  for (let round = 0; round < 2000; round++) {
    const bytes = Buffer.from(exif.subarray(0, exif.length - (round % exif.length)))
    for (let flip = 0; flip < 3 && bytes.length > 0; flip++) {
      seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff
      bytes[seed % bytes.length] = (seed >> 12) & 0xff
    }
    readCopyright(bytes)
  }
})

test('gamut p3 keeps colours that sRGB does not have', async () => {
  const bytes = await displayP3Png([255, 0, 0])
  const wide = await renderOne(bytes, { ...png, width: 20, gamut: 'p3' })
  await assertPixel(wide, 5, 5, [255, 0, 0, 255])
  assert.ok((await sharp(wide).metadata()).icc)
  const muted = await displayP3Png([200, 100, 100])
  const narrow = await renderOne(muted, { ...png, width: 20 })
  await assertPixel(narrow, 5, 5, [216, 96, 98, 255])
  assert.is((await sharp(narrow).metadata()).icc, undefined)
  // sRGB's red in Display P3.
  const red = await sharp({ create: { width: 40, height: 40, channels: 3, background: '#ff0000' } })
    .png()
    .toBuffer()
  await assertPixel(await renderOne(red, { ...png, gamut: 'p3' }), 5, 5, [234, 51, 35, 255])
  const deep = await sharp(red).toColourspace('rgb16').png().toBuffer()
  await assertPixel(await renderOne(deep, { ...png, gamut: 'p3' }), 5, 5, [234, 51, 35, 255])
})

test('a picture of another colour space has the same colours in Display P3 as in sRGB', async () => {
  for (const [name, bytes] of [
    ['CMYK', await samplePicture(96, 64).toColourspace('cmyk').withIccProfile('cmyk').jpeg().toBuffer()],
    ['grey', await samplePicture(96, 64).toColourspace('b-w').png().toBuffer()],
    ['Lab', await samplePicture(96, 64).toColourspace('lab').tiff({ compression: 'lzw' }).toBuffer()],
  ] as const) {
    const wide = await renderOne(bytes, { ...png, gamut: 'p3' })
    const narrow = await sharp(await renderOne(bytes, png))
      .withIccProfile('p3')
      .png()
      .toBuffer()
    for (const [x, y] of [
      [20, 15],
      [70, 15],
      [20, 50],
      [70, 50],
    ] as const) {
      const [found, expected] = [await pixelAt(wide, x, y), await pixelAt(narrow, x, y)]
      assert.ok(isNear(found, expected, 2), `${name}: ${x}, ${y} is ${found}; expected ${expected}`)
    }
  }
})

test('page and frame choose a picture, or the last one', async () => {
  const tiff = await twoPageTiff()
  assert.is(await sizeOf(await renderOne(tiff, png)), '60×40')
  const second = await renderOne(tiff, { ...png, page: 2 })
  assert.is(await sizeOf(second), '30×50', 'each page has its own size')
  await assertPixel(second, 5, 5, [0, 0, 255, 255])
  assert.is(await sizeOf(await renderOne(tiff, { ...png, page: 9 })), '30×50')
  const gif = await animation('image/gif')
  await assertPixel(await renderOne(gif, { ...png, frame: 3 }), 5, 5, [80, 90, 120, 255])
  const still = await renderOne(gif, { ...webp, frame: 9 })
  await assertPixel(still, 5, 5, [120, 90, 80, 255])
  assert.is((await sharp(still).metadata()).pages ?? 1, 1)
})

test('a page with more pixels than the limit is rejected', async () => {
  const tiff = await twoPageTiff({ width: 300, height: 300 })
  const error = await renderOne(tiff, { ...png, page: 2 }, { maxPixels: 50_000 }).catch((thrown) => thrown)
  assert.is(error.code, 'image_too_many_pixels')
})

test('an animation stays one with every fit, if its variant is animated', async () => {
  const bytes = await animation('image/gif')
  const image = (
    await sharp({ create: { width: 8, height: 8, channels: 4, background: '#ffffff' } })
      .png()
      .toBuffer()
  ).toString('base64')
  for (const [recipe, size] of [
    [{ fit: 'inside' }, '60×40'],
    [{ fit: 'outside' }, '90×60'],
    [{ fit: 'fill' }, '60×60'],
    [{ fit: 'contain' }, '60×60'],
    [{ fit: 'cover', animated: true }, '60×60'],
    [{ fit: 'cover', animated: true, position: 'focus' }, '60×60'],
    [{ fit: 'cover', animated: true, position: 'left top' }, '60×60'],
    [{ fit: 'contain', watermark: { image, scale: 0.2, margin: 0, position: 'left top' } }, '60×60'],
    [{ fit: 'inside', gamut: 'p3' }, '60×40'],
  ] satisfies [Partial<VariantRecipe>, string][]) {
    const body = await renderOne(bytes, { ...webp, lossless: true, width: 60, height: 60, ...recipe })
    const name = JSON.stringify(recipe).slice(0, 60)
    assert.is(await sizeOf(body), size, name)
    const { pages, delay } = await sharp(body, { animated: true }).metadata()
    assert.equal([pages, delay], [4, [100, 110, 120, 130]], name)
    if ('gamut' in recipe) continue
    for (let page = 0; page < 4; page++) {
      await assertPixel(body, 30, 30, [page * 40, 90, 200 - page * 40, 255], page)
      if ('watermark' in recipe) await assertPixel(body, 2, 2, [255, 255, 255, 255], page)
      else if (recipe.fit === 'contain') await assertPixel(body, 2, 2, [0, 0, 0, 0], page)
    }
  }
})

test('an animation is still with animated false, when cropped, and where it is blurred', async () => {
  const bytes = await animation('image/webp')
  for (const recipe of [{ animated: false }, { fit: 'cover' }, { blur: 2 }, { sharpen: true }] as const) {
    const body = await renderOne(bytes, { ...webp, width: 60, height: 60, ...recipe })
    assert.is((await sharp(body).metadata()).pages ?? 1, 1, JSON.stringify(recipe))
  }
})

test('variants of one preset with all kinds of settings do not influence each other', async () => {
  const recipes: VariantRecipe[] = [
    { name: 'inside', ...png, width: 120, height: 120 },
    { name: 'contain', ...png, width: 60, height: 60, fit: 'contain', background: '#ffffff' },
    { name: 'blurred', ...png, width: 60, height: 60, blur: 3 },
    { name: 'cover', ...png, width: 50, height: 50, fit: 'cover' },
    { name: 'fill', ...png, width: 90, height: 30, fit: 'fill' },
    { name: 'wide', ...png, width: 60, height: 60, gamut: 'p3' },
    { name: 'large', ...png, width: 480, withoutEnlargement: false },
  ]
  const sizes = {
    inside: '120×80',
    contain: '60×60',
    blurred: '60×40',
    cover: '50×50',
    fill: '90×30',
    wide: '60×40',
    large: '480×320',
  }
  const { rendered } = await renderPreset(photo, recipes)
  const reversed = (await renderPreset(photo, recipes.toReversed())).rendered
  for (const [name, size] of Object.entries(sizes)) {
    const body = rendered.get(name)?.body ?? Buffer.alloc(0)
    assert.is(await sizeOf(body), size, name)
    assert.is(await quarters(body), 'red green blue yellow', name)
    assert.ok(reversed.get(name)?.body.equals(body), `${name} depends on the order of the preset`)
  }
})

test('each smaller variant that shows the whole image is made from the one before, which costs less CPU', async () => {
  for (const fit of ['inside', 'outside', 'contain'] as const) {
    const recipe = { ...png, fit, background: 'transparent' } as const
    const small = { ...recipe, width: 120, height: 80 }
    const { rendered } = await renderPreset(photo, [
      { name: 'small', ...small },
      { name: 'middle', ...recipe, width: 150, height: 100 },
      { name: 'large', ...recipe, width: 192, height: 128 },
    ])
    const body = (name: string) => rendered.get(name)?.body ?? Buffer.alloc(0)
    assert.ok(body('small').equals(await renderOne(body('middle'), small)), fit)
    assert.not.ok(body('small').equals(await renderOne(body('large'), small)), fit)
  }
})

test.run()
