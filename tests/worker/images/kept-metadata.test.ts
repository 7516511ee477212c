import { completeRecipe } from '@millrace/shared/presets/complete-recipe.ts'
import type { VariantRecipe } from '@millrace/shared/presets/preset.ts'
import { readCopyright } from '@millrace/worker/images/copyright.ts'
import { encodeVariant } from '@millrace/worker/images/draw-variant.ts'
import { planVariant } from '@millrace/worker/images/variant-size.ts'
import { repairPng } from '@millrace/worker/structure/png-structure.ts'
import { hasThumbnail, hideThumbnail } from '@millrace/worker/tiff/exif-thumbnail.ts'
import fc from 'fast-check'
import sharp from 'sharp'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'
import { apngFile } from '../support/odd-images.ts'
import { renderPreset } from '../support/render-preset.ts'
import { revealingExif, revealingFiles, secrets } from '../support/revealing-files.ts'

const test = suite('kept metadata')

const frame = { width: 24, height: 16, x: 0, y: 0, dispose: 0, blend: 0, delay: [1, 10] } as const
const apng = apngFile(24, 16, [
  { ...frame, pixels: Buffer.alloc(24 * 16 * 4, 90) },
  { ...frame, pixels: Buffer.alloc(24 * 16 * 4, 200) },
])
const { still, moving } = await revealingFiles(apng)

/** Lists the parts of an encoded picture that hold metadata: `exif`, `icc`, and any other by its name. */
function metadataParts(body: Buffer): string[] {
  if (body.readUInt16BE(0) === 0xffd8) return jpegParts(body)
  if (body.toString('latin1', 1, 4) === 'PNG') return pngParts(body)
  if (body.toString('latin1', 8, 12) === 'WEBP') return webpParts(body)
  return [
    ...(body.includes('Exif') ? ['exif'] : []),
    ...(/colr(prof|rICC)/.test(body.toString('latin1')) ? ['icc'] : []),
    ...(body.includes('mime') || body.includes('uri ') ? ['another item'] : []),
  ]
}

function jpegParts(body: Buffer): string[] {
  const parts: string[] = []
  for (let at = 2; body.readUInt16BE(at) !== 0xffda; at += 2 + body.readUInt16BE(at + 2)) {
    const marker = body.readUInt8(at + 1)
    const name = body.toString('latin1', at + 4, at + 8)
    if (marker === 0xe1) parts.push(name === 'Exif' ? 'exif' : name)
    else if (marker === 0xe2) parts.push(name === 'ICC_' ? 'icc' : name)
    else if ((marker > 0xe2 && marker < 0xf0) || marker === 0xfe) parts.push(`marker ${marker}`)
  }
  return parts
}

function pngParts(body: Buffer): string[] {
  const parts: string[] = []
  const pixelChunks = ['IHDR', 'PLTE', 'IDAT', 'IEND', 'tRNS', 'pHYs', 'bKGD', 'sRGB', 'gAMA', 'cHRM']
  for (let at = 8; at < body.length; at += 12 + body.readUInt32BE(at)) {
    const type = body.toString('latin1', at + 4, at + 8)
    if (!pixelChunks.includes(type)) parts.push({ eXIf: 'exif', iCCP: 'icc' }[type] ?? type)
  }
  return parts
}

function webpParts(body: Buffer): string[] {
  const parts: string[] = []
  const pixelChunks = ['VP8X', 'VP8 ', 'VP8L', 'ALPH', 'ANIM', 'ANMF']
  for (let at = 12; at < body.length; at += 8 + body.readUInt32LE(at + 4) + (body.readUInt32LE(at + 4) % 2)) {
    const type = body.toString('latin1', at, at + 4)
    if (!pixelChunks.includes(type)) parts.push({ EXIF: 'exif', ICCP: 'icc' }[type] ?? type)
  }
  return parts
}

/** Tags that libvips itself writes: orientation, which is 1, resolution, position of colours, version, components, colour space, size. */
const plainTags = [0x112, 0x11a, 0x11b, 0x128, 0x213, 0x8769, 0x9000, 0x9101, 0xa000, 0xa001, 0xa002, 0xa003]
const copyrightTags = [0x8298, 0x13b]

/** Returns the tags of all directories, those of a thumbnail included. */
function tagsOf(exif: Buffer): number[] {
  const tiff = exif.toString('latin1', 0, 4) === 'Exif' ? exif.subarray(6) : exif
  const isLittle = tiff.toString('latin1', 0, 2) === 'II'
  const u16 = (at: number) => (isLittle ? tiff.readUInt16LE(at) : tiff.readUInt16BE(at))
  const u32 = (at: number) => (isLittle ? tiff.readUInt32LE(at) : tiff.readUInt32BE(at))
  const tags: number[] = []
  const waiting = [u32(4)]
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    if (at === 0) continue
    const count = u16(at)
    for (let entry = at + 2; entry < at + 2 + 12 * count; entry += 12) {
      tags.push(u16(entry))
      if (u16(entry) === 0x8769 || u16(entry) === 0x8825) waiting.push(u32(entry + 8))
    }
    waiting.push(u32(at + 2 + 12 * count))
  }
  return tags
}

async function assertOnlyKept(
  name: string,
  body: Buffer,
  expected: { copyright: boolean; icc: boolean },
): Promise<void> {
  const parts = [...(expected.copyright ? ['exif'] : []), ...(expected.icc ? ['icc'] : [])]
  assert.equal([...new Set(metadataParts(body))].sort(), parts, name)
  for (const secret of secrets) assert.is(body.includes(secret), false, `${secret} in ${name}`)
  const { exif, orientation = 1 } = await sharp(body).metadata()
  assert.is(orientation, 1, name)
  assert.equal(readCopyright(exif), expected.copyright ? { Copyright: 'someone' } : undefined, name)
  const others = exif ? tagsOf(exif).filter((tag) => ![...plainTags, ...copyrightTags].includes(tag)) : []
  assert.equal(others, [], name)
}

const formats = ['webp', 'jpeg', 'avif', 'png'] as const
const settings: Pick<VariantRecipe, 'keepMetadata' | 'gamut'>[] = [
  {},
  { keepMetadata: false },
  { keepMetadata: true },
  { keepMetadata: ['copyright'] },
  { keepMetadata: ['icc'] },
  { gamut: 'p3' },
  { gamut: 'p3', keepMetadata: ['copyright'] },
]

/** What a variant with these settings keeps. Wide colours need their profile. */
function keptBy({ keepMetadata = false, gamut }: (typeof settings)[number]) {
  const keeps = (what: 'copyright' | 'icc') =>
    typeof keepMetadata === 'boolean' ? keepMetadata : keepMetadata.includes(what)
  return { copyright: keeps('copyright'), icc: keeps('icc') || gamut === 'p3' }
}

/** Renders a file in each way. @returns the variants, with what they may keep */
async function renderEach(file: Buffer, ways: Omit<VariantRecipe, 'name'>[]) {
  const recipes = settings.flatMap((setting) => ways.map((way) => ({ ...way, ...setting })))
  const variants = recipes.map((recipe, index) => ({
    ...recipe,
    name: `v${index}`,
    ...(recipe.format === 'avif' && { effort: 0 }),
  }))
  const { rendered } = await renderPreset(file, variants)
  return recipes.map((recipe, index) => ({
    recipe,
    body: rendered.get(`v${index}`)?.body ?? Buffer.alloc(0),
    kept: keptBy(recipe),
  }))
}

/** Checks what a file has. libvips reads no EXIF of a TIFF, and a GIF has none. @returns whether it has a copyright */
function hasAll(name: string, file: Buffer): boolean {
  const hasExif = name !== 'TIFF' && name !== 'animated GIF'
  assert.ok(file.includes('home address'), name)
  for (const text of ['someone', 'SERIAL-0815', 'THUMBNAIL-4711'])
    assert.is(file.includes(text), hasExif, name)
  return hasExif
}

for (const [name, file] of Object.entries(still)) {
  test(`no variant of a ${name} has more of its metadata than the preset keeps`, async () => {
    const hasCopyright = hasAll(name, file)
    const ways = formats.map((format) => ({ format }))
    for (const { recipe, body, kept } of await renderEach(file, ways)) {
      const copyright = kept.copyright && hasCopyright
      await assertOnlyKept(`${JSON.stringify(recipe)} of ${name}`, body, { ...kept, copyright })
    }
  })
}

for (const [name, file] of Object.entries(moving)) {
  test(`no variant of an ${name} has more of its metadata than the preset keeps`, async () => {
    const hasCopyright = hasAll(name, file)
    const ways = [{ format: 'webp' }, { format: 'webp', frame: 2 }, { format: 'png', frame: 2 }] as const
    const variants = await renderEach(file, [...ways])
    for (const { recipe, body, kept } of variants) {
      const copyright = kept.copyright && hasCopyright
      await assertOnlyKept(`${JSON.stringify(recipe)} of ${name}`, body, { ...kept, copyright })
      const frames = (await sharp(body, { animated: true }).metadata()).pages ?? 1
      assert.is(frames > 1, !('frame' in recipe), JSON.stringify(recipe))
    }
  })
}

test('a picture whose thumbnail could not be hidden keeps nothing', async () => {
  const jpeg = (await revealingFiles(apng)).still['JPEG'] ?? Buffer.alloc(0)
  const recipe = completeRecipe({ name: 'a', format: 'jpeg', keepMetadata: ['copyright'] })
  const plan = planVariant({ width: 24, height: 16 }, recipe)
  const context = { focus: undefined, copyright: { Copyright: 'someone' }, watermarks: new Map() }
  const body = await encodeVariant(sharp(jpeg), plan, context)
  assert.equal(metadataParts(body), [])
  assert.is(body.includes('THUMBNAIL-4711'), false)
})

test('the EXIF of a PNG whose thumbnail was hidden has a right checksum, so a repair keeps its orientation', async () => {
  const png = (await revealingFiles(apng)).still['PNG'] ?? Buffer.alloc(0)
  const { exif } = await sharp(png).metadata()
  hideThumbnail(png, exif)
  assert.is(hasThumbnail((await sharp(png).metadata()).exif), false)
  // It leaves out ancillary chunks whose checksum is wrong.
  assert.ok(repairPng(png).includes('eXIf'))
})

test('the thumbnail of EXIF data is hidden in either byte order, and any bytes are looked at without a failure', async () => {
  const little = revealingExif()
  const second = little.readUInt32LE(4) + 2 + 12 * little.readUInt16LE(little.readUInt32LE(4))
  assert.ok(little.readUInt32LE(second) > 0)
  const big = Buffer.from('4d4d002a00000008' + '0000' + '00000042', 'hex')
  const none = Buffer.from('4d4d002a00000008' + '0000' + '00000000', 'hex')
  assert.equal([little, big, none, undefined].map(hasThumbnail), [true, true, false, false])
  for (const exif of [little, big]) {
    const file = Buffer.concat([Buffer.from('before Exif\0\0'), exif, Buffer.from('after')])
    hideThumbnail(file, Buffer.concat([Buffer.from('Exif\0\0'), exif]))
    const hidden = file.subarray(13, -5)
    assert.is(hasThumbnail(hidden), false)
    const changed = [...hidden.keys()].filter((at) => hidden[at] !== exif[at])
    const nextAt = exif === little ? second : 10
    assert.ok(changed.length > 0 && changed.every((at) => at >= nextAt && at < nextAt + 4), String(changed))
  }
  await checkProperty(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(little.length), (bytes, at) => {
      const exif = Buffer.from(little.subarray(0, at + bytes.length))
      Buffer.from(bytes).copy(exif, at)
      const file = Buffer.from(exif)
      hideThumbnail(file, exif)
      assert.is(hasThumbnail(file), false)
    }),
    { runs: 500 },
  )
})

test.run()
