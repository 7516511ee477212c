import type { Focus } from '@millrace/shared/presets/focus.ts'
import type { Preset, VariantRecipe } from '@millrace/shared/presets/preset.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createDecoders, type Decoders } from '@millrace/worker/decoders/decoders.ts'
import { type ImageKind, isImageKind } from '@millrace/worker/formats/image-kind.ts'
import { detectMediaType, typeHeadBytes } from '@millrace/worker/types/detect-type.ts'
import sharp from 'sharp'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { fixtureImage } from '../support/fixture-images.ts'
import { repeatedScans } from '../support/odd-images.ts'
import { damaged, quarters, samplePicture } from '../support/sample-images.ts'
import { twoPageTiff } from '../support/special-images.ts'

// Hundreds of decodes by eight processes.
const test = suite('rendering in decoders', {}, { limitMs: 120_000 })
const preset: Preset = {
  name: 'small',
  variants: [{ name: 'small', fit: 'inside', width: 64, format: 'png', quality: 80 }],
}
const config = {
  slots: 8,
  maxImagePixels: 100_000_000,
  decoderCpuLimitMs: 60_000,
  decoderTimeLimitMs: 60_000,
  decoderMemoryBytes: 1024 ** 3,
  decoderPreload: undefined,
}
let decoders: Decoders

test.before(() => {
  decoders = createDecoders({ config })
})
test.after(() => decoders.close())

/** Renders a file. @returns `ready` or the code of its rejection, and the variant */
async function render(
  bytes: Buffer,
): Promise<{ outcome: string; variant: Buffer | undefined; message?: string }> {
  const kind = await detectMediaType(bytes.subarray(0, typeHeadBytes))
  if (!isImageKind(kind)) throw new Error(`not an image: ${kind}`)
  let variant: Buffer | undefined
  try {
    await decoders.renderImage(
      { kind, bytes, preset },
      {
        signal: new AbortController().signal,
        onInspected: () => {},
        emit: ({ body }) => {
          variant = body
        },
      },
    )
    return { outcome: 'ready', variant }
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    return { outcome: error.code, variant: undefined, message: error.message }
  }
}

/** Runs `render` for all files, eight at a time, and counts the outcomes by name. */
async function renderMany(files: { name: string; bytes: Buffer }[]): Promise<Record<string, number>> {
  const outcomes: Record<string, number> = {}
  const queue = files.values()
  const work = async () => {
    for (const { name, bytes } of queue) {
      const key = `${name} ${(await render(bytes)).outcome}`
      outcomes[key] = (outcomes[key] ?? 0) + 1
    }
  }
  await Promise.all(Array.from({ length: 8 }, work))
  return outcomes
}

test('the outcome of a file does not depend on the files beside it', async () => {
  const odd = { name: 'samsung', bytes: await fixtureImage('sos-like-samsung.jpg') }
  const stray = { name: 'stray', bytes: await fixtureImage('stray-bytes-good.jpg') }
  const damaged = { name: 'damaged', bytes: await fixtureImage('neighbour-damaged.jpg') }
  const files = Array.from({ length: 15 }, () => [stray, odd, stray, damaged]).flat()
  assert.equal(await renderMany(files), {
    'samsung ready': 15,
    'stray ready': 30,
    'damaged image_corrupt': 15,
  })
})

test('a decoder keeps the format of the original, crops at the focal point, and limits the pixels of each page', async () => {
  const strip = { fit: 'cover', width: 4, height: 16, position: 'focus' } as const
  const kept = { name: 'kept', format: 'original', quality: 90, ...strip } as const
  const bytes = await samplePicture(64, 32).jpeg({ quality: 95 }).toBuffer()
  for (const [x, colours] of [
    [0, 'red red blue blue'],
    [1, 'green green yellow yellow'],
  ] as const) {
    const { error, variants } = await renderWith({
      variants: [kept],
      kind: 'image/jpeg',
      bytes,
      focus: { x, y: 0 },
    })
    assert.is(error, undefined)
    assert.equal((await sharp(variants[0]).metadata()).format, 'jpeg')
    assert.is(await quarters(variants[0] ?? Buffer.alloc(0)), colours)
  }
  const tiff = await twoPageTiff({ width: 400, height: 300 })
  const limited = createDecoders({ config: { ...config, slots: 1, maxImagePixels: 119_999 } })
  const page = (number: number) =>
    renderWith({
      variants: [{ name: 'page', format: 'png', page: number }],
      kind: 'image/tiff',
      bytes: tiff,
      renderers: limited,
    })
  const errors = [(await page(1)).error, (await page(2)).error]
  await limited.close()
  assert.equal(errors, [undefined, 'image_too_many_pixels'])
})

/** Renders variants of its own. */
async function renderWith({
  kind,
  bytes,
  variants: recipes,
  focus,
  renderers = decoders,
}: {
  kind: ImageKind
  bytes: Buffer
  variants: VariantRecipe[]
  focus?: Focus
  renderers?: Decoders
}): Promise<{ error: string | undefined; variants: Buffer[] }> {
  const variants: Buffer[] = []
  try {
    await renderers.renderImage(
      { kind, bytes, preset: { name: 'own', variants: recipes }, ...(focus && { focus }) },
      {
        signal: new AbortController().signal,
        onInspected: () => {},
        emit: ({ body }) => variants.push(body),
      },
    )
    return { error: undefined, variants }
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    return { error: error.code, variants }
  }
}

for (const name of [
  'jpeg-bytes-before-sos.jpg',
  'tiff-good.tif',
  'tiff-ascii-no-nul.tif',
  'tiff-tags-unsorted.tif',
  'tiff-four-bitspersample.tif',
  'tiff-pagenumber-one.tif',
  'gif-12-frames-good.gif',
  'apng-3-frames.png',
  'avif-brand-mif1.avif',
]) {
  test(`${name} is rendered`, async () => {
    assert.is((await render(await fixtureImage(name))).outcome, 'ready')
  })
}

test('TIFF files that differ in remarks only have the same variant', async () => {
  const good = await render(await fixtureImage('tiff-good.tif'))
  for (const name of ['ascii-no-nul', 'tags-unsorted', 'four-bitspersample', 'pagenumber-one']) {
    assert.equal((await render(await fixtureImage(`tiff-${name}.tif`))).variant, good.variant, name)
  }
})

for (const name of ['gif-1-frame-cut-in-half.gif', 'gif-12-frames-cut-in-half.gif']) {
  test(`${name} is rejected as incomplete`, async () => {
    const { outcome, message } = await render(await fixtureImage(name))
    assert.is(outcome, 'image_corrupt')
    assert.match(message ?? '', 'incomplete')
  })
}

test('a JPEG with an oddity and damage is rejected', async () => {
  const bytes = damaged(await fixtureImage('sos-like-samsung.jpg'))
  assert.is((await render(bytes)).outcome, 'image_corrupt')
})

test('a progressive JPEG with 600 scans is rejected before it is decoded', async () => {
  const progressive = await samplePicture(800, 600).jpeg({ progressive: true }).toBuffer()
  const { outcome, message } = await render(repeatedScans(progressive, 600))
  assert.is(outcome, 'image_too_complex')
  assert.is(message, 'The JPEG has more than 100 scans, which is the limit.')
})

test('a JPEG without its end marker is rendered, and one without its last part is rejected', async () => {
  const whole = await samplePicture(300, 200).jpeg().toBuffer()
  const rendered = await render(whole.subarray(0, whole.length - 2))
  assert.is(rendered.outcome, 'ready')
  assert.is((await sharp(rendered.variant).metadata()).width, 64)
  const cut = await render(whole.subarray(0, whole.length - 100))
  assert.match(cut.message ?? '', 'incomplete')
})

test.run()
