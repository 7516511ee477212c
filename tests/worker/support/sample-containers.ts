import { crc32, deflateRawSync } from 'node:zlib'

/** Makes a ZIP file (APPNOTE.TXT, 4.3) with the entries in this order. */
export function zipFile(
  entries: [name: string, content: string | Buffer][],
  { comment = '', isStreamed = false, isStored = false } = {},
): Buffer {
  const locals: Buffer[] = []
  const directory: Buffer[] = []
  let at = 0
  for (const [name, content] of entries) {
    const raw = Buffer.from(content)
    const isPlain = isStored || name === 'mimetype'
    const data = isPlain ? raw : deflateRawSync(raw)
    const nameBytes = Buffer.from(name)
    const sizes = [crc32(raw), data.length, raw.length]
    // A streamed entry has its sizes after the data, and in the directory.
    const local = [
      Buffer.from('PK\x03\x04'),
      u16(20, isStreamed ? 8 : 0, isPlain ? 0 : 8, 0, 0),
      u32(...(isStreamed ? [0, 0, 0] : sizes)),
      u16(nameBytes.length, 0),
      nameBytes,
      data,
      ...(isStreamed ? [Buffer.from('PK\x07\x08'), u32(...sizes)] : []),
    ]
    directory.push(
      Buffer.concat([
        Buffer.from('PK\x01\x02'),
        u16(20, 20, isStreamed ? 8 : 0, isPlain ? 0 : 8, 0, 0),
        u32(...sizes),
        u16(nameBytes.length, 0, 0, 0, 0),
        u32(0, at),
        nameBytes,
      ]),
    )
    const bytes = Buffer.concat(local)
    locals.push(bytes)
    at += bytes.length
  }
  const list = Buffer.concat(directory)
  return Buffer.concat([
    ...locals,
    list,
    Buffer.from('PK\x05\x06'),
    u16(0, 0, entries.length, entries.length),
    u32(list.length, at),
    u16(comment.length),
    Buffer.from(comment),
  ])
}

/** `[Content_Types].xml` of an Office Open XML file. */
export function contentTypes(part: string, mainType: string): [string, string] {
  return [
    '[Content_Types].xml',
    `<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="${part}" ContentType="${mainType}"/></Types>`,
  ]
}

type CompoundEntry = { name: string; child?: number; left?: number; right?: number; isStorage?: boolean }

/**
 * Makes a compound file ([MS-CFB]) with a directory of these entries after the root and empty streams.
 *
 * @param options.classId of the root, 16 bytes in hexadecimal
 * @param options.paddingBytes between the header and the directory, so that the directory is not in the head
 */
export function compoundFile(
  entries: CompoundEntry[],
  { classId = '0'.repeat(32), paddingBytes = 0, sectorBytes = 512 } = {},
): Buffer {
  const padding = paddingBytes / sectorBytes
  const perSector = sectorBytes / 128
  const all: CompoundEntry[] = [{ name: 'Root Entry', child: entries.length > 0 ? 1 : -1 }, ...entries]
  const directorySectors = Math.ceil(all.length / perSector)
  // Sector 0 is the FAT, then comes the padding, then the directory.
  const fat = Buffer.alloc(sectorBytes, 0xff)
  for (let i = 0; i < directorySectors - 1; i++) fat.writeUInt32LE(padding + 2 + i, (padding + 1 + i) * 4)
  fat.writeUInt32LE(0xfffffffe, (padding + directorySectors) * 4)
  const header = Buffer.alloc(sectorBytes)
  header.write('d0cf11e0a1b11ae1', 'hex')
  header.writeUInt16LE(sectorBytes === 512 ? 9 : 12, 30)
  header.writeUInt32LE(1, 44)
  header.writeUInt32LE(padding + 1, 48)
  header.fill(0xff, 76, 512)
  header.writeUInt32LE(0, 76)
  const directory = Buffer.alloc(directorySectors * sectorBytes)
  all.forEach(({ name, child = -1, left = -1, right = -1, isStorage = false }, i) => {
    const at = i * 128
    directory.write(name, at, 'utf16le')
    directory.writeUInt16LE(name.length * 2 + 2, at + 64)
    directory.writeUInt8(i === 0 ? 5 : isStorage ? 1 : 2, at + 66)
    directory.writeInt32LE(left, at + 68)
    directory.writeInt32LE(right, at + 72)
    directory.writeInt32LE(child, at + 76)
    if (i === 0) directory.write(classId, at + 80, 'hex')
  })
  return Buffer.concat([header, fat, Buffer.alloc(paddingBytes), directory])
}

/** Makes a box of ISO/IEC 14496-12. */
export function box(type: string, ...content: Buffer[]): Buffer {
  const body = Buffer.concat(content)
  return Buffer.concat([be32(body.length + 8), Buffer.from(type, 'latin1'), body])
}

export function fileTypeBox(major: string, ...compatible: string[]): Buffer {
  return box('ftyp', Buffer.from(major), be32(0), Buffer.from(compatible.join('')))
}

/** Makes an MP4 file with tracks of these handlers. Each track has a sample table of `tableBytes`. */
export function mp4File(
  handlers: string[],
  { brand = 'isom', isMovieLast = false, mediaBytes = 1000, tableBytes = 100 } = {},
): Buffer {
  const tracks = handlers.map((handler) =>
    box(
      'trak',
      box('tkhd', Buffer.alloc(84)),
      box(
        'mdia',
        box('mdhd', Buffer.alloc(24)),
        box('hdlr', Buffer.alloc(8), Buffer.from(handler), Buffer.alloc(13)),
        box('minf', box('stbl', box('stsz', Buffer.alloc(tableBytes)))),
      ),
    ),
  )
  const movie = box('moov', box('mvhd', Buffer.alloc(100)), ...tracks)
  const media = box('mdat', Buffer.alloc(mediaBytes, 0xa5))
  return Buffer.concat([fileTypeBox(brand, 'isom'), ...(isMovieLast ? [media, movie] : [movie, media])])
}

/** Makes a HEIF file whose items have these types; the first is the primary one. */
export function heifFile(brands: string[], itemTypes: string[]): Buffer {
  const [major = 'mif1', ...compatible] = brands
  const items = itemTypes.map((type, i) =>
    box('infe', Buffer.from([2, 0, 0, 0]), be16(i + 1, 0), Buffer.from(type), Buffer.from([0])),
  )
  const meta = box(
    'meta',
    be32(0),
    box('hdlr', Buffer.alloc(8), Buffer.from('pict'), Buffer.alloc(13)),
    box('pitm', be32(0), be16(1)),
    box('iinf', be32(0), be16(items.length), ...items),
  )
  return Buffer.concat([fileTypeBox(major, ...compatible), meta, box('mdat', Buffer.alloc(64))])
}

/** Makes an element of EBML, with a size of eight bytes. */
export function element(idHex: string, ...content: Buffer[]): Buffer {
  const body = Buffer.concat(content)
  const size = Buffer.alloc(8)
  size.writeBigUInt64BE(BigInt(body.length))
  size[0] = 0x01
  return Buffer.concat([Buffer.from(idHex, 'hex'), size, body])
}

/** Makes a WebM or Matroska file with tracks of these types: 1 video, 2 audio, 17 subtitle. */
export function matroskaFile(
  docType: 'webm' | 'matroska',
  trackTypes: number[],
  { voidBytes = 0 } = {},
): Buffer {
  const tracks = trackTypes.map((type) =>
    element('ae', element('d7', Buffer.from([1])), element('83', Buffer.from([type]))),
  )
  return Buffer.concat([
    element('1a45dfa3', element('4282', Buffer.from(docType))),
    element(
      '18538067',
      element('ec', Buffer.alloc(voidBytes)),
      element('1654ae6b', ...tracks),
      element('1f43b675', Buffer.alloc(100)),
    ),
  ])
}

type TiffValue = number | number[] | string

/** Makes a little-endian TIFF file with one directory of these tags, and one more for each of `subDirectories`. */
export function tiffFile(
  tags: Record<number, TiffValue>,
  {
    subDirectories = [],
    directoryAt = 8,
    startText = '',
  }: { subDirectories?: Record<number, TiffValue>[]; directoryAt?: number; startText?: string } = {},
): Buffer {
  const start = Buffer.alloc(directoryAt)
  start.write('II*\0')
  start.writeUInt32LE(directoryAt, 4)
  start.write(startText, 8, 'latin1')
  const subLengths = subDirectories.map((sub) => directory(sub, 0).length)
  const mainTags = { ...tags, ...(subDirectories.length > 0 && { 330: subDirectories.map(() => 0) }) }
  const subStart = directoryAt + directory(mainTags, directoryAt).length
  const offsets = subLengths.map((_, i) =>
    subLengths.slice(0, i).reduce((sum, length) => sum + length, subStart),
  )
  const main = directory({ ...mainTags, ...(offsets.length > 0 && { 330: offsets }) }, directoryAt)
  return Buffer.concat([start, main, ...subDirectories.map((sub, i) => directory(sub, offsets[i] ?? 0))])
}

function directory(tags: Record<number, TiffValue>, at: number): Buffer {
  const entries = Object.entries(tags)
  let dataAt = at + 2 + entries.length * 12 + 4
  const data: Buffer[] = []
  const rows = entries.map(([tag, value]) => {
    const isText = typeof value === 'string'
    const values = isText ? Buffer.from(`${value}\0`) : u32(...[value].flat())
    const count = isText ? values.length : values.length / 4
    const row = Buffer.concat([u16(Number(tag), isText ? 2 : 4), u32(count)])
    if (values.length <= 4) return Buffer.concat([row, values, Buffer.alloc(4 - values.length)])
    const here = dataAt
    data.push(values)
    dataAt += values.length
    return Buffer.concat([row, u32(here)])
  })
  return Buffer.concat([u16(entries.length), ...rows, u32(0), ...data])
}

function u16(...values: number[]): Buffer {
  return Buffer.from(new Uint16Array(values).buffer)
}

function u32(...values: number[]): Buffer {
  return Buffer.from(new Uint32Array(values).buffer)
}

function be16(...values: number[]): Buffer {
  return u16(...values).swap16()
}

function be32(...values: number[]): Buffer {
  return u32(...values).swap32()
}
