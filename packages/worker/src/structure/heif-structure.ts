import { type Box, boxes } from './bmff-boxes.ts'
import { damaged, type Structure, truncated, whole } from './structure.ts'

/** Items that hold no pixels. A picture is whole without them. */
const metadataTypes: ReadonlySet<string> = new Set(['Exif', 'mime', 'uri '])

/**
 * Returns size and cost of a HEIF's primary item, or of a sequence's first track, or undefined if the file has neither.
 * ISO/IEC 23008-12, 6.5.3: the property `ispe` is the size before rotation.
 */
export function readHeifFrame(file: Buffer) {
  const size = primaryItemSize(file) ?? trackSize(file)
  if (!size) return undefined
  const properties = propertiesOf(file)
  const samples = properties.some((property) => isAlpha(file, property)) ? 4 : 3
  const isDeep = properties.some((property) => bitDepth(file, property) > 8)
  return { ...size, frames: 1, pixelBytes: samples * (isDeep ? 2 : 1), isInterlaced: false }
}

/**
 * Checks that the boxes of a HEIF and the data of its pictures lie within the file. It serves to explain a failure: a file
 * that decoders take needs no such check.
 */
export function checkHeif(file: Buffer): Structure {
  for (const { type, end } of boxes(file, 0, file.length)) {
    const isNeeded = type !== 'mdat' && type !== 'free' && type !== 'skip'
    if (isNeeded && end > file.length) return truncated(`It ends in its box ${JSON.stringify(type)}.`)
  }
  const meta = metaOf(file)
  if (!meta && !find(file, ['moov'])) return truncated('It ends before its description.')
  if (meta) {
    const types = itemTypes(file, meta)
    for (const { item, end } of extents(file, meta)) {
      if (end > file.length && !metadataTypes.has(types.get(item) ?? '')) {
        return truncated(`Item ${item} ends after the file.`)
      }
    }
  } else if ([...boxes(file, 0, file.length)].some(({ end }) => end > file.length)) {
    return truncated('It ends in the data of its sequence.')
  }
  return file.length < 8 ? damaged('It has no box.') : whole()
}

/** Finds a box by the types of the boxes around it, outermost first. */
function find(file: Buffer, path: string[], within?: Box): Box | undefined {
  let found: Box | undefined = within ?? { type: '', start: 0, end: file.length }
  for (const type of path) {
    const parent: Box | undefined = found
    found = parent && boxes(file, parent.start, parent.end).find((box) => box.type === type)
  }
  return found
}

/** A full box has a version and flags before its content (ISO/IEC 14496-12, 4.2). */
function metaOf(file: Buffer): Box | undefined {
  const meta = find(file, ['meta'])
  return meta && { ...meta, start: meta.start + 4 }
}

function propertiesOf(file: Buffer): Box[] {
  const container = find(file, ['iprp', 'ipco'], metaOf(file))
  return container ? [...boxes(file, container.start, container.end)] : []
}

function primaryItemSize(file: Buffer) {
  const meta = metaOf(file)
  const properties = propertiesOf(file)
  const primary = meta && primaryItem(file, meta)
  const indexes = meta && primary !== undefined ? propertyIndexes(file, meta, primary) : []
  const sizes = properties
    .filter(({ type }, index) => type === 'ispe' && (indexes.length === 0 || indexes.includes(index + 1)))
    .map(({ start }) => ({ width: file.readUInt32BE(start + 4), height: file.readUInt32BE(start + 8) }))
  return sizes.sort((a, b) => b.width * b.height - a.width * a.height)[0]
}

/** ISO/IEC 14496-12, 8.11.4. */
function primaryItem(file: Buffer, meta: Box): number | undefined {
  const box = find(file, ['pitm'], meta)
  if (!box) return undefined
  return file.readUInt8(box.start) === 0 ? file.readUInt16BE(box.start + 4) : file.readUInt32BE(box.start + 4)
}

/** ISO/IEC 23008-12, 9.3.1: the properties of an item, by their place in `ipco`, from 1. */
function propertyIndexes(file: Buffer, meta: Box, item: number): number[] {
  const box = find(file, ['iprp', 'ipma'], meta)
  if (!box) return []
  const idBytes = file.readUInt8(box.start) === 0 ? 2 : 4
  const indexBytes = file.readUInt8(box.start + 3) & 1 ? 2 : 1
  const indexMask = indexBytes === 2 ? 0x7fff : 0x7f
  const end = Math.min(box.end, file.length)
  let at = box.start + 8
  while (at + idBytes < end) {
    const id = file.readUIntBE(at, idBytes)
    const count = file.readUInt8(at + idBytes)
    at += idBytes + 1
    if (id === item) {
      return Array.from({ length: count }, (_, i) => {
        return file.readUIntBE(at + i * indexBytes, indexBytes) & indexMask
      })
    }
    at += count * indexBytes
  }
  return []
}

/** ISO/IEC 14496-15, 8.3.3.1.2: the bit depth of luma, less 8, is in byte 17 of `hvcC`. */
function bitDepth(file: Buffer, { type, start }: Box): number {
  return type === 'hvcC' ? (file.readUInt8(start + 17) & 7) + 8 : 8
}

/** ISO/IEC 23008-12, 6.5.8: `auxC` has the kind of an auxiliary image as a URN. The first is of HEVC, B.2.4. */
function isAlpha(file: Buffer, { type, start, end }: Box): boolean {
  if (type !== 'auxC') return false
  const name = file.toString('latin1', start + 4, Math.min(end, start + 100)).split('\0')[0]
  return name === 'urn:mpeg:hevc:2015:auxid:1' || name === 'urn:mpeg:mpegB:cicp:systems:auxiliary:alpha'
}

/** ISO/IEC 14496-12, 12.1.3: a visual sample entry has width and height after 24 bytes. */
function trackSize(file: Buffer) {
  const table = find(file, ['moov', 'trak', 'mdia', 'minf', 'stbl', 'stsd'])
  if (!table) return undefined
  const [entry] = boxes(file, table.start + 8, table.end)
  return entry && { width: file.readUInt16BE(entry.start + 24), height: file.readUInt16BE(entry.start + 26) }
}

/** ISO/IEC 14496-12, 8.11.6: `infe` of version 2 has an identifier of 2 bytes, of version 3 one of 4. */
function itemTypes(file: Buffer, meta: Box): Map<number, string> {
  const types = new Map<number, string>()
  const list = find(file, ['iinf'], meta)
  if (!list) return types
  const countBytes = file[list.start] === 0 ? 2 : 4
  for (const { type, start } of boxes(file, list.start + 4 + countBytes, list.end)) {
    const idBytes = file[start] === 2 ? 2 : 4
    if (type !== 'infe' || start + 10 + idBytes > file.length) continue
    const typeAt = start + 4 + idBytes + 2
    types.set(file.readUIntBE(start + 4, idBytes), file.toString('latin1', typeAt, typeAt + 4))
  }
  return types
}

/** Lists where the data of items ends, if it lies in the file itself (ISO/IEC 14496-12, 8.11.3). */
function* extents(file: Buffer, meta: Box): Generator<{ item: number; end: number }> {
  const box = find(file, ['iloc'], meta)
  if (!box) return
  let at = box.start
  const read = (bytes: number): number => {
    const value =
      bytes === 0 ? 0 : bytes === 8 ? Number(file.readBigUInt64BE(at)) : file.readUIntBE(at, bytes)
    at += bytes
    return value
  }
  try {
    const version = read(1)
    at += 3
    const sizes = read(2)
    const [offsetBytes, lengthBytes, baseBytes] = [sizes >> 12, (sizes >> 8) & 15, (sizes >> 4) & 15]
    const indexBytes = version > 0 ? sizes & 15 : 0
    const count = read(version < 2 ? 2 : 4)
    for (let index = 0; index < count && at < box.end; index++) {
      const item = read(version < 2 ? 2 : 4)
      const isInFile = version === 0 || (read(2) & 15) === 0
      at += 2
      const base = read(baseBytes)
      const extentCount = read(2)
      for (let extent = 0; extent < extentCount && at < box.end; extent++) {
        at += indexBytes
        const start = base + read(offsetBytes)
        const length = read(lengthBytes)
        if (isInFile) yield { item, end: start + length }
      }
    }
  } catch (error) {
    // A size that is no number of bytes, or a list that ends after the file.
    if (!(error instanceof RangeError)) throw error
  }
}
