import type { BoundedFile } from './bounded-file.ts'

/** Ids of EBML elements, with their length markers (RFC 8794, RFC 9559). */
const ids = { segment: 0x18538067, tracks: 0x1654ae6b, trackEntry: 0xae, trackType: 0x83 }
const videoTrack = 1
const audioTrack = 2

/** An element: its id and where its content starts and ends, in bytes. */
type Element = { id: number; start: number; end: number }

/**
 * Returns whether a WebM or Matroska file has audio tracks but no video track.
 * @returns undefined if its tracks cannot be found
 */
export async function isMatroskaAudio(file: BoundedFile): Promise<boolean | undefined> {
  const segment = await findElement(file, 0, file.size, ids.segment)
  const tracks = segment && (await findElement(file, segment.start, segment.end, ids.tracks))
  if (!tracks) return undefined
  let hasAudio = false
  for (let at = tracks.start; at < tracks.end; ) {
    const element = await readElement(file, at, tracks.end)
    if (!element) return undefined
    at = element.end
    if (element.id !== ids.trackEntry) continue
    const type = await findElement(file, element.start, element.end, ids.trackType)
    const value = type && (await file.read(type.start, Math.min(type.end - type.start, 8))).at(-1)
    if (value === undefined) return undefined
    if (value === videoTrack) return false
    if (value === audioTrack) hasAudio = true
  }
  return hasAudio
}

async function findElement(
  file: BoundedFile,
  start: number,
  end: number,
  id: number,
): Promise<Element | undefined> {
  for (let at = start; at < end; ) {
    const element = await readElement(file, at, end)
    if (!element || element.id === id) return element
    at = element.end
  }
  return undefined
}

/** @returns undefined if there is no element; one of unknown size, or that ends after its parent, ends with the parent */
async function readElement(file: BoundedFile, at: number, parentEnd: number): Promise<Element | undefined> {
  // An id has at most 4 bytes, a size at most 8.
  const header = await file.read(at, 12)
  const idLength = lengthOf(header[0], 4)
  if (idLength === undefined) return undefined
  const sizeLength = lengthOf(header[idLength], 8)
  if (sizeLength === undefined || header.length < idLength + sizeLength) return undefined
  const start = at + idLength + sizeLength
  const bits = 7 * sizeLength
  const size = BigInt.asUintN(bits, BigInt(`0x${header.toString('hex', idLength, idLength + sizeLength)}`))
  const isUnknown = size === (1n << BigInt(bits)) - 1n
  const end = isUnknown ? parentEnd : Math.min(start + Number(size), parentEnd)
  return { id: header.readUIntBE(0, idLength), start, end }
}

/** The length in bytes of a variable-size integer, as its first byte says: leading zeros, plus one (RFC 8794, 4). */
function lengthOf(first: number | undefined, max: number): number | undefined {
  const length = first ? Math.clz32(first) - 23 : undefined
  return length !== undefined && length <= max ? length : undefined
}
