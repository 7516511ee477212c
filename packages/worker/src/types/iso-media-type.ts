import type { BoundedFile } from './bounded-file.ts'

/** A box of ISO/IEC 14496-12, 4.2: its four-character type and where its content starts and ends, in bytes. */
type Box = { type: string; start: number; end: number }

const avifBrands = new Set(['avif', 'avis', 'avio', 'MA1A', 'MA1B'])
const heicBrands = new Set(['heic', 'heix', 'heim', 'heis', 'hevc', 'hevx', 'hevm', 'hevs'])
/** Brands of HEIF that do not name the codec (ISO/IEC 23008-12, 10.2; ISO/IEC 23000-22). */
const heifBrands = new Set(['mif1', 'mif2', 'mif3', 'msf1', 'miaf', 'MiAn', 'MiHA', 'MiHB', 'MiHE', '1pic'])
/** The types of coded items and of sample entries (ISO/IEC 14496-15; AV1 Image File Format, 2.2). */
const codecTypes = new Map([
  ['av01', 'image/avif'],
  ['hvc1', 'image/heic'],
  ['hev1', 'image/heic'],
  ['lhv1', 'image/heic'],
])

/**
 * Returns the type of an image file based on ISO boxes: by its brands, or, if they do not name the codec, by its items.
 *
 * @param head the file's first bytes
 * @returns `image/avif`, `image/heic`; `image/heif` for other codecs; undefined if it is no image
 */
export async function isoImageType(head: Buffer, file: BoundedFile): Promise<string | undefined> {
  const [major, ...compatible] = readBrands(head)
  if (major === undefined) return undefined
  if (avifBrands.has(major)) return 'image/avif'
  if (heicBrands.has(major)) return 'image/heic'
  if (!heifBrands.has(major)) return undefined
  const isAvif = compatible.some((brand) => avifBrands.has(brand))
  const isHeic = compatible.some((brand) => heicBrands.has(brand))
  if (isAvif !== isHeic) return isAvif ? 'image/avif' : 'image/heic'
  return (await codecOfItems(file)) ?? (await codecOfTracks(file)) ?? 'image/heif'
}

/**
 * Returns whether a video file has sound tracks but no picture track.
 * @returns undefined if its tracks cannot be found
 */
export async function isIsoAudio(file: BoundedFile): Promise<boolean | undefined> {
  const movie = await findBox(file, 0, file.size, ['moov'])
  if (!movie) return undefined
  let hasSound = false
  for (let at = movie.start; at < movie.end; ) {
    const box = await readBox(file, at, movie.end)
    if (!box) return undefined
    at = box.end
    if (box.type !== 'trak') continue
    const handler = await handlerOf(file, box)
    if (handler === undefined || handler === 'vide') return handler === undefined ? undefined : false
    if (handler === 'soun') hasSound = true
  }
  return hasSound
}

/** The major brand, then the compatible ones (ISO/IEC 14496-12, 4.3). */
function readBrands(head: Buffer): string[] {
  if (head.length < 16 || head.toString('latin1', 4, 8) !== 'ftyp') return []
  const compatible: string[] = head.toString('latin1', 16, head.readUInt32BE(0)).match(/.{4}/gs) ?? []
  return [head.toString('latin1', 8, 12), ...compatible]
}

/** The handler type of a track: `vide`, `soun`, `text` and so on (ISO/IEC 14496-12, 8.4.3). */
async function handlerOf(file: BoundedFile, track: Box): Promise<string | undefined> {
  const handler = await findBox(file, track.start, track.end, ['mdia', 'hdlr'])
  if (!handler) return undefined
  const type = await file.read(handler.start + 8, 4)
  return type.length === 4 ? type.toString('latin1') : undefined
}

/**
 * The codec of the items in `meta` (ISO/IEC 14496-12, 8.11): the primary item's, or of a primary item that is composed of
 * others, such as a grid, the first coded item's.
 */
async function codecOfItems(file: BoundedFile): Promise<string | undefined> {
  const meta = await findBox(file, 0, file.size, ['meta'])
  if (!meta) return undefined
  // A FullBox: version and flags come before the children.
  const children = meta.start + 4
  const primary = await readPrimaryItem(file, children, meta.end)
  const items = await findBox(file, children, meta.end, ['iinf'])
  if (!items) return undefined
  const version = (await file.read(items.start, 1))[0]
  let first: string | undefined
  for (let at = items.start + (version === 0 ? 6 : 8); at < items.end; ) {
    const item = await readBox(file, at, items.end)
    if (!item) break
    at = item.end
    const entry = await file.read(item.start, 14)
    if (item.type !== 'infe' || entry.length < 14 || (entry[0] !== 2 && entry[0] !== 3)) continue
    // Version 3 has an id of four bytes, version 2 of two. A protection index of two bytes follows.
    const isLong = entry[0] === 3
    const id = isLong ? entry.readUInt32BE(4) : entry.readUInt16BE(4)
    const codec = codecTypes.get(entry.toString('latin1', isLong ? 10 : 8, isLong ? 14 : 12))
    if (codec && id === primary) return codec
    first ??= codec
  }
  return first
}

async function readPrimaryItem(file: BoundedFile, start: number, end: number): Promise<number | undefined> {
  const box = await findBox(file, start, end, ['pitm'])
  const bytes = box ? await file.read(box.start, 8) : Buffer.alloc(0)
  if (bytes.length < 6) return undefined
  if (bytes[0] === 0) return bytes.readUInt16BE(4)
  return bytes.length >= 8 ? bytes.readUInt32BE(4) : undefined
}

/** The codec of the first track's first sample entry (ISO/IEC 14496-12, 8.5.2), for sequences without items. */
async function codecOfTracks(file: BoundedFile): Promise<string | undefined> {
  const entries = await findBox(file, 0, file.size, ['moov', 'trak', 'mdia', 'minf', 'stbl', 'stsd'])
  if (!entries) return undefined
  const entry = await readBox(file, entries.start + 8, entries.end)
  return entry && codecTypes.get(entry.type)
}

/** Follows a path of box types, each time the first box of that type. */
async function findBox(
  file: BoundedFile,
  start: number,
  end: number,
  [type, ...rest]: string[],
): Promise<Box | undefined> {
  for (let at = start; at < end; ) {
    const box = await readBox(file, at, end)
    if (!box) return undefined
    if (box.type === type) return rest.length > 0 ? findBox(file, box.start, box.end, rest) : box
    at = box.end
  }
  return undefined
}

/** @returns undefined if there is no box, or one of an impossible size; a box that ends after its parent ends with it */
async function readBox(file: BoundedFile, at: number, parentEnd: number): Promise<Box | undefined> {
  const header = await file.read(at, 16)
  if (header.length < 8) return undefined
  const type = header.toString('latin1', 4, 8)
  const size = header.readUInt32BE(0)
  // 0: the box ends with the file. 1: the size follows in eight bytes.
  if (size === 0) return { type, start: at + 8, end: parentEnd }
  if (size !== 1) return size < 8 ? undefined : { type, start: at + 8, end: Math.min(at + size, parentEnd) }
  if (header.length < 16) return undefined
  const longSize = Number(header.readBigUInt64BE(8))
  return longSize < 16 ? undefined : { type, start: at + 16, end: Math.min(at + longSize, parentEnd) }
}
