/** A box of an ISO base media file: its type, and where its content starts and ends, which may be after the file's end. In bytes. */
export type Box = { type: string; start: number; end: number }

/** Boxes that contain boxes, and how many bytes of their content precede them: a `uuid` has its identifier first. */
const containers: Record<string, number> = { moov: 0, trak: 0, mdia: 0, minf: 0, stbl: 0, uuid: 16 }
/** The `uuid` of Canon's preview has 8 more bytes before its boxes. */
const previewUuid = 'eaf42b5e1c984b88b9fbb7dc406e4d16'
/** Far more than any file needs: a picture of 12 megapixels in tiles has some 50 items. */
const maxBoxes = 20_000
/** Of all boxes of a file together. */
const maxFound = 1_000
const maxDepth = 8

/** Lists the boxes in a part of the file (ISO/IEC 14496-12, 4.2), up to the first without a valid size. */
export function* boxes(file: Buffer, from: number, to: number): Generator<Box> {
  const limit = Math.min(to, file.length)
  let at = from
  for (let count = 0; count < maxBoxes && at + 8 <= limit; count++) {
    const type = file.toString('latin1', at + 4, at + 8)
    let size = file.readUInt32BE(at)
    let headBytes = 8
    if (size === 1) {
      if (at + 16 > limit) return
      size = Number(file.readBigUInt64BE(at + 8))
      headBytes = 16
    } else if (size === 0) size = to - at
    if (size < headBytes) return
    yield { type, start: at + headBytes, end: at + size }
    at += size
  }
}

/** Returns all boxes of a file, each before those in it. They end within their parent. */
export function findBoxes(file: Buffer): Box[] {
  const found: Box[] = []
  read(0, file.length, 0)
  return found

  function read(from: number, until: number, depth: number): void {
    for (const { type, start, end: ownEnd } of boxes(file, from, until)) {
      if (found.length >= maxFound) return
      const end = Math.min(until, ownEnd)
      found.push({ type, start, end })
      const skipped = containers[type]
      if (skipped === undefined || depth >= maxDepth) continue
      const isPreview = type === 'uuid' && file.toString('hex', start, start + 16) === previewUuid
      read(start + skipped + (isPreview ? 8 : 0), end, depth + 1)
    }
  }
}
