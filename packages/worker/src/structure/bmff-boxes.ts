/** A box of an ISO base media file: its type, and where its content is, in bytes. */
export type Box = { type: string; start: number; end: number }

/** Boxes that contain boxes, and how many bytes of their content precede them: a `uuid` has its identifier first. */
const containers: Record<string, number> = { moov: 0, trak: 0, mdia: 0, minf: 0, stbl: 0, uuid: 16 }
/** The `uuid` of Canon's preview has 8 more bytes before its boxes. */
const previewUuid = 'eaf42b5e1c984b88b9fbb7dc406e4d16'
const maxBoxes = 1_000
const maxDepth = 8

/**
 * Returns all boxes of a file, each before those in it (ISO/IEC 14496-12, 4.2).
 * @throws RangeError if a box ends in its head
 */
export function findBoxes(file: Buffer): Box[] {
  const found: Box[] = []
  read(0, file.length, 0)
  return found

  function read(from: number, until: number, depth: number): void {
    let at = from
    while (at + 8 <= until && found.length < maxBoxes) {
      let size = file.readUInt32BE(at)
      let head = 8
      if (size === 1) {
        size = Number(file.readBigUInt64BE(at + 8))
        head = 16
      }
      if (size === 0) size = until - at
      if (size < head) return
      const type = file.toString('latin1', at + 4, at + 8)
      const [start, end] = [at + head, Math.min(until, at + size)]
      found.push({ type, start, end })
      const skipped = containers[type]
      if (skipped !== undefined && depth < maxDepth) {
        const isPreview = type === 'uuid' && file.toString('hex', start, start + 16) === previewUuid
        read(start + skipped + (isPreview ? 8 : 0), end, depth + 1)
      }
      at += size
    }
  }
}
