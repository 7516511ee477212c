/** Builds HEIF files box by box (ISO/IEC 14496-12 and 23008-12), from pictures that an encoder made. */

/** An item of a HEIF: coded data, or a grid of others. */
export type HeifItem = {
  type: string
  data: Buffer
  properties: Buffer[]
  /** Identifiers of items that it consists of; the first item has 1. */
  tiles?: number[]
}

export function box(type: string, ...content: Buffer[]): Buffer {
  const head = Buffer.alloc(8)
  head.writeUInt32BE(8 + content.reduce((sum, { length }) => sum + length, 0), 0)
  head.write(type, 4, 'latin1')
  return Buffer.concat([head, ...content])
}

const numbers = (bytes: 1 | 2 | 4, ...values: number[]) => {
  const buffer = Buffer.alloc(bytes * values.length)
  for (const [index, value] of values.entries()) buffer.writeUIntBE(value, index * bytes, bytes)
  return buffer
}
const fullBox = (type: string, version: number, ...content: Buffer[]) =>
  box(type, Buffer.from([version, 0, 0, 0]), ...content)

export const sizeProperty = (width: number, height: number) => fullBox('ispe', 0, numbers(4, width, height))
/** @param quarters turns of 90° anticlockwise */
export const rotation = (quarters: number) => box('irot', Buffer.from([quarters]))
/** @param axis 0: top and bottom change places; 1: left and right do */
export const mirroring = (axis: 0 | 1) => box('imir', Buffer.from([axis]))
export const profileProperty = (profile: Buffer) => box('colr', Buffer.from('prof'), profile)
/** Codes of ITU-T H.273; the matrix of BT.601 and full range, as heif-enc writes them. */
export const coloursProperty = (primaries: number, transfer: number) =>
  box('colr', Buffer.from('nclx'), numbers(2, primaries, transfer, 6), Buffer.from([0x80]))

/** Reads the coded pictures of a file that heif-enc wrote: their data and the configuration of their decoder. */
export function readCodedPictures(file: Buffer): { data: Buffer; configuration: Buffer }[] {
  const configurations: Buffer[] = []
  for (let at = file.indexOf('hvcC'); at !== -1; at = file.indexOf('hvcC', at + 4)) {
    configurations.push(file.subarray(at - 4, at - 4 + file.readUInt32BE(at - 4)))
  }
  // Version 0 with 4 bytes for base, offset and length, and one extent for each item.
  const iloc = file.indexOf('iloc') + 4
  return configurations.map((configuration, index) => {
    const entry = iloc + 8 + index * 18
    const start = file.readUInt32BE(entry + 4) + file.readUInt32BE(entry + 10)
    const length = file.readUInt32BE(entry + 14)
    return { configuration, data: file.subarray(start, start + length) }
  })
}

/** Makes an item of one coded picture. */
export function codedItem(
  { data, configuration }: { data: Buffer; configuration: Buffer },
  ...properties: Buffer[]
): HeifItem {
  return { type: 'hvc1', data, properties: [configuration, ...properties] }
}

/** Makes a grid item, as phones write them (ISO/IEC 23008-12, 6.6.2.3). */
export function gridItem(
  { rows, columns, width, height }: { rows: number; columns: number; width: number; height: number },
  tiles: number[],
  ...properties: Buffer[]
): HeifItem {
  const data = Buffer.concat([Buffer.from([0, 1, rows - 1, columns - 1]), numbers(4, width, height)])
  return { type: 'grid', data, tiles, properties: [sizeProperty(width, height), ...properties] }
}

/** Writes a HEIF. Items that share a property have the same buffer; there are at most 127. @param primary identifier of the item that is shown */
export function buildHeif({
  items,
  primary = 1,
  brands = ['heic', 'mif1', 'heic'],
}: {
  items: HeifItem[]
  primary?: number
  /** The major brand first. */
  brands?: string[]
}): Buffer {
  const [major = 'heic', ...compatible] = brands
  const fileType = box('ftyp', Buffer.from(major), numbers(4, 0), Buffer.from(compatible.join('')))
  const properties = [...new Set(items.flatMap((item) => item.properties))]
  const associations = items.map(({ properties: own }, index) =>
    Buffer.concat([
      numbers(2, index + 1),
      numbers(1, own.length, ...own.map((property) => properties.indexOf(property) + 1)),
    ]),
  )
  const references = items.flatMap(({ tiles = [] }, index) =>
    tiles.length > 0 ? [box('dimg', numbers(2, index + 1, tiles.length, ...tiles))] : [],
  )
  const makeMeta = (dataStart: number) => {
    let at = dataStart
    const places = items.map(({ data }, index) => {
      const entry = Buffer.concat([numbers(2, index + 1, 0, 1)])
      const place = numbers(4, at, data.length)
      at += data.length
      return Buffer.concat([entry, place])
    })
    return fullBox(
      'meta',
      0,
      fullBox('hdlr', 0, numbers(4, 0), Buffer.from('pict'), Buffer.alloc(13)),
      fullBox('pitm', 0, numbers(2, primary)),
      fullBox('iloc', 0, Buffer.from([0x44, 0]), numbers(2, items.length), ...places),
      fullBox(
        'iinf',
        0,
        numbers(2, items.length),
        ...items.map(({ type }, index) =>
          fullBox('infe', 2, numbers(2, index + 1, 0), Buffer.from(`${type}\0`)),
        ),
      ),
      ...(references.length > 0 ? [fullBox('iref', 0, ...references)] : []),
      box('iprp', box('ipco', ...properties), fullBox('ipma', 0, numbers(4, items.length), ...associations)),
    )
  }
  const dataStart = fileType.length + makeMeta(0).length + 8
  return Buffer.concat([fileType, makeMeta(dataStart), box('mdat', ...items.map(({ data }) => data))])
}

/** Makes a sequence of pictures (`msf1`) of a video: its brands, and its handler `pict` (ISO/IEC 23008-12, 7). */
export function toSequence(video: Buffer): Buffer {
  const sequence = Buffer.from(video)
  sequence.write('msf1', 8, 'latin1')
  sequence.write('hevcmsf1hevc', 16, 'latin1')
  sequence.write('pict', sequence.indexOf('vide'), 'latin1')
  return sequence
}
