import sharp from 'sharp'

// What sharp takes by itself for the variants of Millrace's default preset: no checks, no placeholder, no isolation.

sharp.concurrency(1)
sharp.cache(false)

const sides = [1920, 960, 320]
const webp = { quality: 80, effort: 2 }
const jpeg = { quality: 80 }

/** Decodes an image once and makes each size from the larger one, as the worker does. @returns the encoded variants */
export async function renderCascade(input: Buffer): Promise<Buffer[]> {
  let { data, info } = await sharp(input, { autoOrient: true })
    .resize({ width: 1920, withoutEnlargement: true })
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true })
  const variants: Buffer[] = []
  for (const side of sides) {
    if (side < info.width) {
      ;({ data, info } = await sharp(data, { raw: info })
        .resize({ width: side })
        .raw()
        .toBuffer({ resolveWithObject: true }))
    }
    variants.push(await sharp(data, { raw: info }).webp(webp).toBuffer())
  }
  variants.push(
    await sharp(data, { raw: info })
      .resize({ width: 200, height: 200, fit: 'cover', withoutEnlargement: true })
      .flatten({ background: '#ffffff' })
      .jpeg(jpeg)
      .toBuffer(),
  )
  return variants
}

/** Decodes an image for each variant, as examples do. */
export async function renderEach(input: Buffer): Promise<void> {
  const open = () => sharp(input, { autoOrient: true })
  for (const side of sides)
    await open().resize({ width: side, withoutEnlargement: true }).webp(webp).toBuffer()
  await open()
    .resize({ width: 200, height: 200, fit: 'cover', withoutEnlargement: true })
    .jpeg(jpeg)
    .toBuffer()
}
