/** A directory entry of TIFF: a tag, and its numbers of 16 or 32 bits, or bytes. */
type Entry = [tag: number, value: { short: number } | { longs: number[] } | { bytes: Buffer }]

/** Writes parts of a file one after the other, and remembers where they are. */
function createWriter(start: Buffer) {
  let file = start
  return {
    /** @returns where the part is */
    add(part: Buffer): number {
      const at = file.length + (file.length % 2)
      file = Buffer.concat([file, Buffer.alloc(file.length % 2), part])
      return at
    },
    /** Writes a directory. @returns where it is */
    directory(entries: Entry[], { big = false, base = 0, next = 0 } = {}): number {
      const u16 = (value: number) => number(value, 2, big)
      const u32 = (value: number) => number(value, 4, big)
      const rows = [...entries]
        .sort(([a], [b]) => a - b)
        .map(([tag, value]) => {
          if ('short' in value) return Buffer.concat([u16(tag), u16(3), u32(1), u16(value.short), u16(0)])
          const bytes = 'longs' in value ? Buffer.concat(value.longs.map(u32)) : value.bytes
          const head = Buffer.concat([
            u16(tag),
            u16('longs' in value ? 4 : 7),
            u32('longs' in value ? value.longs.length : bytes.length),
          ])
          return Buffer.concat([head, bytes.length === 4 ? bytes : u32(this.add(bytes) - base)])
        })
      return this.add(Buffer.concat([u16(rows.length), ...rows, u32(next)]))
    },
    file: () => file,
  }
}

function number(value: number, bytes: 2 | 4, big: boolean): Buffer {
  const buffer = Buffer.alloc(bytes)
  if (big) buffer.writeUIntBE(value, 0, bytes)
  else buffer.writeUIntLE(value, 0, bytes)
  return buffer
}

/** What of a raw file is built. Sizes in pixels. */
export type RawOptions = {
  preview?: Buffer
  orientation?: number
  width?: number
  height?: number
}

/**
 * Makes a raw file based on TIFF, as DNG and NEF are: a thumbnail in the first directory, and sub-directories with the
 * pattern of the sensor (photometric interpretation 32803) and with the preview.
 *
 * @param options.big big-endian @param options.magic the second number of the header, and what follows the third
 */
export function makeTiffRaw({
  preview,
  orientation = 1,
  width = 6000,
  height = 4000,
  big = false,
  magic = big ? Buffer.from('MM\0*') : Buffer.from('II*\0'),
  isStrip = false,
  more = [],
}: RawOptions & { big?: boolean; magic?: Buffer; isStrip?: boolean; more?: Entry[] } = {}): Buffer {
  const writer = createWriter(Buffer.concat([magic, Buffer.alloc(12)]))
  const sensor = writer.add(Buffer.alloc(64))
  const subDirectories = [
    writer.directory(
      [
        [254, { longs: [0] }],
        [256, { longs: [width] }],
        [257, { longs: [height] }],
        [259, { short: 1 }],
        [262, { short: 32803 }],
        [273, { longs: [sensor] }],
        [279, { longs: [64] }],
      ],
      { big },
    ),
  ]
  if (preview) {
    const at = writer.add(preview)
    const [offset, length] = isStrip ? [273, 279] : [513, 514]
    subDirectories.push(
      writer.directory(
        [
          [254, { longs: [1] }],
          [259, { short: isStrip ? 7 : 6 }],
          [offset, { longs: [at] }],
          [length, { longs: [preview.length] }],
        ],
        { big },
      ),
    )
  }
  const first = writer.directory(
    [
      [254, { longs: [1] }],
      [256, { longs: [160] }],
      [257, { longs: [120] }],
      [274, { short: orientation }],
      [330, { longs: subDirectories }],
      ...more,
    ],
    { big },
  )
  const file = writer.file()
  number(first, 4, big).copy(file, 4)
  return file
}

/** Makes a raw file of Panasonic: its own header, the sensor's size in tags 2 and 3, the JPEG as the bytes of tag 46. */
export function makePanasonicRaw({
  preview,
  orientation = 1,
  width = 6000,
  height = 4000,
}: RawOptions): Buffer {
  const writer = createWriter(Buffer.concat([Buffer.from('IIU\0'), Buffer.alloc(20)]))
  const first = writer.directory([
    [2, { short: width }],
    [3, { short: height }],
    [46, { bytes: preview ?? Buffer.alloc(8) }],
    [274, { short: orientation }],
  ])
  const file = writer.file()
  file.writeUInt32LE(first, 4)
  return file
}

/** Makes a raw file of Olympus: the preview is in the camera settings of the maker's note. */
export function makeOlympusRaw({
  preview,
  orientation = 1,
  width = 6000,
  height = 4000,
}: RawOptions): Buffer {
  const writer = createWriter(Buffer.concat([Buffer.from('IIRO'), Buffer.alloc(12)]))
  const note = writer.add(Buffer.concat([Buffer.from('OLYMPUS\0II\x03\0'), Buffer.alloc(2 + 12 + 4)]))
  const jpeg = writer.add(preview ?? Buffer.alloc(8))
  const settings = writer.directory([
    [0x101, { longs: [jpeg - note] }],
    [0x102, { longs: [preview?.length ?? 8] }],
  ])
  const entries = Buffer.concat([
    number(1, 2, false),
    number(0x2020, 2, false),
    number(13, 2, false),
    number(1, 4, false),
    number(settings - note, 4, false),
  ])
  const noteBytes = writer.file().length - note
  const exif = writer.add(
    Buffer.concat([
      number(1, 2, false),
      number(37500, 2, false),
      number(7, 2, false),
      number(noteBytes, 4, false),
      number(note, 4, false),
      number(0, 4, false),
    ]),
  )
  const first = writer.directory([
    [256, { longs: [width] }],
    [257, { longs: [height] }],
    [274, { short: orientation }],
    [34665, { longs: [exif] }],
  ])
  const file = writer.file()
  entries.copy(file, note + 12)
  file.writeUInt32LE(first, 4)
  return file
}

/** Makes a raw file of Fujifilm. The orientation is in its JPEG. */
export function makeFujifilmRaw({
  preview = Buffer.alloc(8),
  width = 6000,
  height = 4000,
}: RawOptions): Buffer {
  const head = Buffer.alloc(108)
  head.write('FUJIFILMCCD-RAW 0201FF393101X-T3', 'latin1')
  const record = Buffer.alloc(12)
  record.writeUInt32BE(1, 0)
  record.writeUInt16BE(0x111, 4)
  record.writeUInt16BE(4, 6)
  record.writeUInt16BE(height, 8)
  record.writeUInt16BE(width, 10)
  head.writeUInt32BE(head.length, 84)
  head.writeUInt32BE(preview.length, 88)
  head.writeUInt32BE(head.length + preview.length, 92)
  head.writeUInt32BE(record.length, 96)
  return Buffer.concat([head, preview, record, Buffer.alloc(64)])
}

/** Makes a CR3. @param options.isTrack the JPEG is that of the first track, not the smaller one of `PRVW` */
export function makeCr3({
  preview = Buffer.alloc(8),
  orientation = 1,
  width = 6000,
  height = 4000,
  isTrack = true,
}: RawOptions & { isTrack?: boolean }): Buffer {
  const box = (type: string, ...parts: Buffer[]) => {
    const content = Buffer.concat(parts)
    return Buffer.concat([number(content.length + 8, 4, true), Buffer.from(type, 'latin1'), content])
  }
  const uuid = (id: string, ...parts: Buffer[]) => box('uuid', Buffer.from(id, 'hex'), ...parts)
  const writer = createWriter(Buffer.from('II*\0\0\0\0\0'))
  const first = writer.directory([
    [256, { short: width }],
    [257, { short: height }],
    [274, { short: orientation }],
  ])
  const cmt1 = writer.file()
  cmt1.writeUInt32LE(first, 4)
  const canon = uuid('85c0b687820f11e08111f4ce462b6a48', box('CMT1', cmt1))
  const previewBox = uuid(
    'eaf42b5e1c984b88b9fbb7dc406e4d16',
    Buffer.alloc(8),
    box(
      'PRVW',
      Buffer.alloc(12),
      number(isTrack ? 8 : preview.length, 4, true),
      isTrack ? Buffer.alloc(8) : preview,
    ),
  )
  const movie = (at: number) => {
    const offset = Buffer.alloc(8)
    offset.writeBigUInt64BE(BigInt(at))
    const sizes = box('stsz', Buffer.alloc(4), number(preview.length, 4, true), number(1, 4, true))
    const places = box('co64', Buffer.alloc(4), number(1, 4, true), offset)
    const track = box('trak', box('mdia', box('minf', box('stbl', sizes, places))))
    return box('moov', canon, isTrack ? track : Buffer.alloc(0))
  }
  const type = box('ftyp', Buffer.from('crx \0\0\0\x01crx isom'))
  const before = Buffer.concat([type, movie(0), previewBox])
  return Buffer.concat([
    type,
    movie(before.length + 8),
    previewBox,
    box('mdat', isTrack ? preview : Buffer.alloc(64)),
  ])
}
