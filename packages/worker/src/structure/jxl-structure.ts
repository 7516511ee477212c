/** The signature of a JPEG XL codestream (ISO/IEC 18181-1, D.1). A container begins with a box instead. */
const codestreamSignature = 0xff0a
const boxHeadBytes = 8
/** Boxes before the codestream: the signature, the file type, metadata. */
const maxBoxes = 1_000
/** The size header has at most 77 bits. */
const sizeHeaderBytes = 12

/** Ratios of width to height that need no width (ISO/IEC 18181-1, D.2), by their code. */
const ratios: readonly (readonly [number, number])[] = [
  [0, 1],
  [1, 1],
  [12, 10],
  [4, 3],
  [3, 2],
  [16, 9],
  [5, 4],
  [2, 1],
]

/** Returns the size of a JPEG XL, or undefined if it has no codestream. Its orientation is not applied. */
export function readJxlFrame(file: Buffer) {
  const start = codestreamStart(file)
  if (start === undefined || file.readUInt16BE(start) !== codestreamSignature) return undefined
  const read = createBitReader(file.subarray(start + 2, start + 2 + sizeHeaderBytes))
  const isSmall = read(1) === 1
  const side = () => (isSmall ? 8 * (read(5) + 1) : read([9, 13, 18, 30][read(2)] ?? 30) + 1)
  const height = side()
  const [numerator, denominator] = ratios[read(3)] ?? [0, 1]
  const width = numerator === 0 ? side() : Math.floor((height * numerator) / denominator)
  return { width, height, frames: 1, pixelBytes: 4, isInterlaced: true }
}

/** Finds the codestream in a container (ISO/IEC 18181-2, 9): the box `jxlc`, or the first `jxlp` after its number. */
function codestreamStart(file: Buffer): number | undefined {
  if (file.length >= 2 && file.readUInt16BE(0) === codestreamSignature) return 0
  let at = 0
  for (let count = 0; count < maxBoxes && at + boxHeadBytes <= file.length; count++) {
    const type = file.toString('latin1', at + 4, at + 8)
    const short = file.readUInt32BE(at)
    const headBytes = short === 1 ? 16 : boxHeadBytes
    if (type === 'jxlc') return at + headBytes
    if (type === 'jxlp') return at + headBytes + 4
    const size = short === 1 ? Number(file.readBigUInt64BE(at + 8)) : short
    // 0: up to the end of the file.
    if (size < headBytes) return undefined
    at += size
  }
  return undefined
}

/** Returns a function that reads numbers of so many bits, from the lowest bit of each byte. It throws at the end. */
function createBitReader(bytes: Buffer) {
  let position = 0
  return (bits: number): number => {
    let value = 0
    for (let bit = 0; bit < bits; bit++) {
      value += ((bytes.readUInt8(position >> 3) >> (position & 7)) & 1) * 2 ** bit
      position += 1
    }
    return value
  }
}
