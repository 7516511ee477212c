import { damaged, partLimits, type Structure, truncated, whole } from './structure.ts'

/** Markers of JPEG (ITU-T T.81, table B.1). */
const soi = 0xd8
const eoi = 0xd9
const sos = 0xda
const app0 = 0xe0
const app14 = 0xee
/** Markers with the bits of SOF that are no frame: DHT, JPG, DAC. */
const noFrames: ReadonlySet<number> = new Set([0xc4, 0xc8, 0xcc])
/**
 * A JPEG of 256 MB whose segments are full has 4,000. Each is held in memory here, so empty ones must not be counted on.
 */
const maxSegments = 20_000
/** A DCT block has this many coefficients. */
const coefficients = 64

type Piece = { marker: number; start: number; end: number; scanEnd: number }
/** The lowest bit of each coefficient that arrived, by component; -1 if none did. */
type Progress = Map<number, Int8Array>

type Walk = {
  pieces: Piece[]
  scans: number
  isProgressive: boolean
  /** Arithmetic coding, of which every cut can be decoded without a remark. */
  isArithmetic: boolean
  /** Whether a scan of each component brought every coefficient with all its bits. */
  isComplete: boolean
  hasEnd: boolean
  fault?: string
}

/** Whether a JPEG has several scans. It reads the header only, up to the first scan. */
export function hasSeveralScans(file: Buffer): boolean {
  const { isProgressive, isComplete } = walk(file, { untilScan: true })
  return isProgressive || !isComplete
}

/** Whether damage of a JPEG may be found by its decoder only. It reads the header only, up to the first scan. */
export function isCheckedByDecoder(file: Buffer): boolean {
  const { isProgressive, isComplete, isArithmetic } = walk(file, { untilScan: true })
  return !isProgressive && isComplete && !isArithmetic
}

/**
 * Checks the markers of a JPEG. Only what the markers show counts: a scan that is cut but ended by a marker is found by
 * the decoder. A missing end marker is no fault if all scans are there.
 */
export function checkJpeg(file: Buffer): Structure {
  const { scans, isComplete, hasEnd, isProgressive, isArithmetic, fault } = walk(file)
  const parts = { name: 'scans', count: scans } as const
  if (fault !== undefined) return damaged(fault)
  if (scans === 0) return hasEnd ? damaged('It has no scan.') : truncated('It ends before the first scan.')
  if (!hasEnd && isArithmetic) return truncated('It has no end marker.', parts)
  // With an end marker, an encoder may have left out the last refinements on purpose.
  if (!hasEnd && !isComplete) {
    return truncated(isProgressive ? `It ends after ${scans} scans.` : 'A component is missing.', parts)
  }
  return whole(parts)
}

/** Returns size and cost of a JPEG's frame, or undefined if it has none before its first scan. */
export function readJpegFrame(file: Buffer) {
  const { pieces, isProgressive } = walk(file, { untilScan: true })
  const piece = pieces.find(({ marker }) => isFrame(marker))
  if (!piece) return undefined
  const frame = file.subarray(piece.start + 4, piece.end)
  // T.81, B.2.2: the sampling factors of a component, horizontal and vertical, are the halves of a byte.
  const areas = Array.from({ length: frame.readUInt8(5) }, (_, i) => {
    const factors = frame.readUInt8(7 + 3 * i)
    return (factors >> 4) * (factors & 15)
  })
  const samples = areas.reduce((sum, area) => sum + area, 0) / Math.max(1, ...areas)
  return {
    width: frame.readUInt16BE(3),
    height: frame.readUInt16BE(1),
    frames: 1,
    // libjpeg keeps coefficients of 16 bits.
    pixelBytes: 2 * samples,
    isInterlaced: isProgressive || hasSeveralScans(file),
  }
}

/** So many zeros at the end are more than padding. */
const zeroTail = Buffer.alloc(16)

/**
 * Removes zeros from the end of a JPEG. A broken transfer leaves them in place of the rest, and they may decode to a grey
 * area without a warning. Zeros after an end marker are removed too, which changes nothing.
 */
export function withoutZeroTail(file: Buffer): Buffer {
  if (!file.subarray(-zeroTail.length).equals(zeroTail)) return file
  let end = file.length
  while (end > 0 && file[end - 1] === 0) end -= 1
  return file.subarray(0, end)
}

/** Processes of T.81, table B.1, that decoders of browsers do not know, by marker. */
const otherProcesses: Readonly<Record<number, string>> = {
  195: 'lossless',
  197: 'hierarchical',
  198: 'hierarchical',
  199: 'hierarchical',
  203: 'lossless and has arithmetic coding',
  205: 'hierarchical',
  206: 'hierarchical',
  207: 'hierarchical',
}

/**
 * Names what makes a JPEG one that is not decoded although it may be whole. It reads the header only.
 *
 * @returns a sentence, or undefined
 */
export function unsupportedJpeg(file: Buffer): string | undefined {
  const frame = walk(file, { untilScan: true }).pieces.find(({ marker }) => isFrame(marker))
  if (!frame) return undefined
  const process = otherProcesses[frame.marker]
  if (process) return `The JPEG is ${process}, which is not supported.`
  const precision = file[frame.start + 4]
  // T.81, B.2.2: 8 or 12 in processes with a DCT. Anything else is damage.
  if (precision === 12) return 'The JPEG has 12 bits per sample, which is not supported.'
  // T.81, B.2.5: the height may follow the first scan.
  if (frame.end > frame.start + 9 && file.readUInt16BE(frame.start + 5) === 0) {
    return 'The JPEG states its height after its first scan, which is not supported.'
  }
  return undefined
}

/** Checks a JPEG that no decoder takes. If it has no end marker, what was missing are the bytes before it. */
export function checkFailedJpeg(file: Buffer): Structure {
  return walk(file).hasEnd ? checkJpeg(file) : truncated('It has no end marker.')
}

/**
 * Writes a JPEG anew without oddities that decoders remark on and that change no pixel: bytes between segments, scan
 * parameters of a sequential frame (T.81, B.2.3: 0, 63, 0; Samsung phones write others), versions of JFIF above 1,
 * unknown colour transforms of Adobe, restart markers with wrong numbers, a missing end marker, bytes after it. What a strict decoder still remarks on is
 * damage of the image data.
 */
export function repairJpeg(file: Buffer): Buffer {
  const { pieces, isProgressive } = walk(file)
  const parts: Buffer[] = [Buffer.from([0xff, soi])]
  for (const { marker, start, end, scanEnd } of pieces) {
    const segment = Buffer.from(file.subarray(start, end))
    if (marker === sos && !isProgressive) segment.set([0, coefficients - 1, 0], segment.length - 3)
    // JFIF 1.02: identifier, then the version's major number.
    if (marker === app0 && segment.toString('latin1', 4, 9) === 'JFIF\0') segment[9] = 1
    // Adobe technical note 5116: 0 is RGB or CMYK, 1 YCbCr, 2 YCCK. libjpeg takes an unknown one for 1 or 2.
    if (marker === app14 && segment.toString('latin1', 4, 9) === 'Adobe' && (segment[15] ?? 0) > 2) {
      segment[15] = componentsOf(file, pieces) === 4 ? 2 : 1
    }
    parts.push(
      segment,
      marker === sos ? numberRestarts(file.subarray(end, scanEnd)) : file.subarray(end, scanEnd),
    )
  }
  parts.push(Buffer.from([0xff, eoi]))
  return Buffer.concat(parts)
}

/** T.81, E.1.4: restart markers count from 0 to 7 again and again. */
function numberRestarts(scan: Buffer): Buffer {
  const numbered = Buffer.from(scan)
  let count = 0
  for (let at = numbered.indexOf(0xff); at !== -1; at = numbered.indexOf(0xff, at + 1)) {
    const next = numbered[at + 1] ?? 0
    if (next < 0xd0 || next > 0xd7) continue
    numbered[at + 1] = 0xd0 + (count % 8)
    count += 1
  }
  return numbered
}

function walk(file: Buffer, { untilScan = false } = {}): Walk {
  const result: Walk = {
    pieces: [],
    scans: 0,
    isProgressive: false,
    isArithmetic: false,
    isComplete: false,
    hasEnd: false,
  }
  const progress: Progress = new Map()
  let at = 2
  for (;;) {
    // T.81, B.1.1.2: any number of FF, then the marker. Decoders skip whatever precedes.
    let start = file.indexOf(0xff, at)
    while (start !== -1 && file[start + 1] === 0xff) start += 1
    const marker = start === -1 ? undefined : file[start + 1]
    if (marker === undefined) break
    at = start + 2
    if (marker === eoi) {
      result.hasEnd = true
      break
    }
    if (marker === 0 || marker === 1 || (marker >= 0xd0 && marker <= soi)) continue
    if (result.pieces.length >= maxSegments)
      return { ...result, fault: `It has more than ${maxSegments} segments.` }
    const length = at + 2 <= file.length ? file.readUInt16BE(at) : Number.POSITIVE_INFINITY
    if (length < 2) return { ...result, fault: `The segment at byte ${start} has no length.` }
    const end = at + length
    if (end > file.length) break
    if (isFrame(marker)) {
      result.isProgressive = (marker & 3) === 2
      result.isArithmetic = marker > 0xc8
      readFrame(file.subarray(at + 2, end), progress)
    }
    if (marker === sos) {
      result.scans += 1
      // Counting on would take as long as the file wants.
      if (result.scans > partLimits.scans) break
      readScan(file.subarray(at + 2, end), progress, result.isProgressive)
      if (untilScan) break
    }
    const scanEnd = marker === sos ? findScanEnd(file, end) : end
    result.pieces.push({ marker, start, end, scanEnd })
    at = scanEnd
  }
  result.isComplete =
    progress.size > 0 && [...progress.values()].every((bits) => bits.every((lowest) => lowest === 0))
  return result
}

function isFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && !noFrames.has(marker)
}

/** T.81, B.2.2: precision, height, width, number of components, then three bytes for each. */
function readFrame(frame: Buffer, progress: Progress): void {
  const count = frame[5] ?? 0
  for (let i = 0; i < count; i++) {
    const id = frame[6 + 3 * i]
    if (id !== undefined) progress.set(id, new Int8Array(coefficients).fill(-1))
  }
}

/** T.81, B.2.3: number of components, two bytes for each, first and last coefficient, bits before and after. */
function readScan(scan: Buffer, progress: Progress, isProgressive: boolean): void {
  const count = scan[0] ?? 0
  const first = isProgressive ? (scan[1 + 2 * count] ?? 0) : 0
  const last = isProgressive ? (scan[2 + 2 * count] ?? 0) : coefficients - 1
  const lowest = isProgressive ? (scan[3 + 2 * count] ?? 0) & 15 : 0
  for (let i = 0; i < count; i++) progress.get(scan[1 + 2 * i] ?? -1)?.fill(lowest, first, last + 1)
}

/** Returns where entropy-coded data ends: at the first marker that is neither a stuffed zero nor a restart. */
function findScanEnd(file: Buffer, start: number): number {
  let at = file.indexOf(0xff, start)
  while (at !== -1) {
    const next = file[at + 1]
    if (next === undefined) return file.length
    if (next === 0xff) at += 1
    else if (next === 0 || (next >= 0xd0 && next <= 0xd7)) at = file.indexOf(0xff, at + 2)
    else return at
  }
  return file.length
}

function componentsOf(file: Buffer, pieces: Piece[]): number | undefined {
  const frame = pieces.find(({ marker }) => isFrame(marker))
  return frame && file[frame.start + 9]
}
