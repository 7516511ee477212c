import { bitOffset, type Plane, readPlanes } from '../pixels/tiff-bytes.ts'
import { colourCount, photometrics, sampleFormats, type TiffEncoding } from '../tiff/tiff-encoding.ts'
import { writePlainTiff } from '../tiff/write-tiff.ts'

/** The largest value of a sample that is written. */
const full = 0xffff

/**
 * Rewrites a page whose samples libvips does not read, or shows in wrong colours, as a plain TIFF of 16 bits: colours and
 * alpha, without other channels.
 *
 * Values are scaled as ImageMagick does: integers by their bits or the largest value that the file states, numbers with a
 * sign from the lowest, fractions from 0 to 1. Fractions beyond that range, and integers of 32 bits, have no range that a
 * file states in a way that decoders agree upon. They are scaled by the values that are there.
 *
 * @param page from 0, whose encoding it is
 * @throws any error if the data is damaged
 */
export async function rewriteTiff(file: Buffer, page: number, encoding: TiffEncoding): Promise<Buffer> {
  const { width, height, extraSamples, bits, photometric, orientation, iccProfile } = encoding
  const planes = await readPlanes(file, page, encoding)
  const colours = colourCount(encoding)
  if (bits.length < colours) throw new Error(`A pixel has ${bits.length} samples, its colour ${colours}.`)
  const alphaAt = extraSamples.findIndex((kind) => kind === 1 || kind === 2)
  const hasAlpha = alphaAt !== -1 && colours + alphaAt < bits.length
  const kept = Array.from({ length: colours }, (_, index) => index)
  if (hasAlpha) kept.push(colours + alphaAt)
  const readers = kept.map((sample) => sampleReader(encoding, planes, sample))
  const toFull = scaling(encoding, readers.slice(0, colours))
  const channels = kept.length
  const pixels = new Uint16Array(width * height * channels)
  for (const [channel, read] of readers.entries()) {
    const scale =
      channel < colours ? toFull : scaling({ ...encoding, photometric: photometrics.black }, [read])
    for (let y = 0, at = channel; y < height; y++) {
      for (let x = 0; x < width; x++, at += channels) pixels[at] = scale(read(x, y), channel)
    }
  }
  const written = convertColours(encoding, pixels, channels)
  return writePlainTiff({
    width,
    height,
    pixels,
    photometric: written,
    colours,
    orientation,
    ...(hasAlpha && { alpha: extraSamples[alphaAt] === 1 ? 'premultiplied' : 'straight' }),
    ...(iccProfile && written === photometric && { iccProfile }),
  })
}

type ReadSample = (x: number, y: number) => number

function sampleReader(encoding: TiffEncoding, planes: Plane[], sample: number): ReadSample {
  const { isPlanar, bits, sampleFormat } = encoding
  const { bytes, rowBytes, samples } = planes[isPlanar ? sample : 0] ?? {
    bytes: Buffer.alloc(0),
    rowBytes: 0,
    samples: 1,
  }
  const size = bits[0] ?? 8
  const within = isPlanar ? 0 : sample * size
  const offsets = Float64Array.from(
    { length: encoding.width },
    (_, x) => bitOffset(encoding, samples, x) + within,
  )
  const read = size % 8 === 0 ? byteReader(bytes, encoding) : bitReader(bytes, size)
  const isSigned = sampleFormat === sampleFormats.signed && size % 8 !== 0
  const sign = 2 ** (size - 1)
  return (x, y) => {
    const value = read(8 * y * rowBytes + (offsets[x] ?? 0))
    return isSigned && value >= sign ? value - 2 * sign : value
  }
}

/** Reads whole bytes at a place that is given in bits. */
function byteReader(
  bytes: Buffer,
  { bits, sampleFormat, isLittleEndian }: TiffEncoding,
): (bit: number) => number {
  const size = bits[0] ?? 8
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (sampleFormat === sampleFormats.float) {
    if (size === 16) return (bit) => view.getFloat16(bit / 8, isLittleEndian)
    if (size === 32) return (bit) => view.getFloat32(bit / 8, isLittleEndian)
    return (bit) => view.getFloat64(bit / 8, isLittleEndian)
  }
  const length = size / 8
  if (sampleFormat === sampleFormats.signed) {
    return isLittleEndian
      ? (bit) => bytes.readIntLE(bit / 8, length)
      : (bit) => bytes.readIntBE(bit / 8, length)
  }
  return isLittleEndian
    ? (bit) => bytes.readUIntLE(bit / 8, length)
    : (bit) => bytes.readUIntBE(bit / 8, length)
}

/** Reads samples of a number of bits that is no number of bytes: TIFF 6.0, section 2, highest bits first. */
function bitReader(bytes: Buffer, size: number): (bit: number) => number {
  // A sample and the bits before it in its byte fill at most 31 bits, except for large ones.
  const mask = 2 ** size - 1
  if (size <= 24) {
    return (bit) => {
      const at = Math.floor(bit / 8)
      const word =
        ((bytes[at] ?? 0) << 24) |
        ((bytes[at + 1] ?? 0) << 16) |
        ((bytes[at + 2] ?? 0) << 8) |
        (bytes[at + 3] ?? 0)
      return (word >>> (32 - size - (bit % 8))) & mask
    }
  }
  return (bit) => {
    let value = 0
    for (let left = size, at = bit; left > 0; ) {
      const taken = Math.min(left, 8 - (at % 8))
      const byte = bytes[Math.floor(at / 8)] ?? 0
      value = value * 2 ** taken + ((byte >> (8 - (at % 8) - taken)) & (2 ** taken - 1))
      left -= taken
      at += taken
    }
    return value
  }
}

/** Returns a function that scales a sample to 0–65535, as far as its channel begins at zero. */
function scaling(encoding: TiffEncoding, readers: ReadSample[]): (value: number, channel: number) => number {
  const { photometric, sampleFormat, bits, maxValue } = encoding
  const size = bits[0] ?? 8
  const clamp = (value: number) => Math.max(0, Math.min(full, Math.round(value))) || 0
  if (photometric === photometrics.cielab && sampleFormat !== sampleFormats.float && size <= 16) {
    // L has no sign, a and b have one, whatever SampleFormat says (TIFF 6.0, section 23). Here all become unsigned.
    const [steps, half] = [2 ** (16 - size), 2 ** (size - 1)]
    const unsigned = (value: number) => (value < 0 ? value + 2 * half : value)
    return (value, channel) =>
      channel === 0
        ? clamp((unsigned(value) * full) / (2 * half - 1))
        : ((unsigned(value) + half) % (2 * half)) * steps
  }
  let [low, high] = [0, 2 ** size - 1]
  if (sampleFormat === sampleFormats.float) [low, high] = fractionRange(encoding, readers)
  else if (sampleFormat === sampleFormats.signed) {
    const limit = size > 16 ? usedRange(encoding, readers) : 2 ** (size - 1)
    ;[low, high] = [-limit, limit - 1]
  } else if (size > 16) high = usedRange(encoding, readers) - 1
  else if (size > 8 && maxValue !== undefined && maxValue > 0) high = Math.min(high, maxValue)
  const factor = full / (high - low || 1)
  return (value) => clamp((value - low) * factor)
}

/**
 * 0 to 1 if all values are, as they should be. Some programs keep the range of 8 bits. Otherwise from the lowest value to
 * the highest.
 */
function fractionRange({ width, height }: TiffEncoding, readers: ReadSample[]): [number, number] {
  let [lowest, highest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (const read of readers) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const value = read(x, y)
        if (!Number.isFinite(value)) continue
        if (value < lowest) lowest = value
        if (value > highest) highest = value
      }
    }
  }
  // A filter leaves values a little beyond.
  const tolerance = 0.05
  if (lowest < -tolerance || highest > 255) return [lowest, highest]
  return [0, highest > 1 + tolerance ? 255 : 1]
}

/** Returns the power of two above all values, without their sign. */
function usedRange({ width, height }: TiffEncoding, readers: ReadSample[]): number {
  let highest = 1
  for (const read of readers) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) highest = Math.max(highest, Math.abs(read(x, y)))
    }
  }
  return 2 ** Math.ceil(Math.log2(highest + 1))
}

/**
 * Converts pixels in place to an interpretation that libvips shows rightly.
 * @returns that interpretation
 */
function convertColours({ photometric, bits }: TiffEncoding, pixels: Uint16Array, channels: number): number {
  // ICC.1, 10.8: 8 bits are 0 to 255, 128 is zero; 16 bits are 0 to FF00, 8000 is zero.
  const iccStep = bits[0] === 16 ? 256 : 257
  switch (photometric) {
    case photometrics.white:
      for (let at = 0; at < pixels.length; at += channels) pixels[at] = full - (pixels[at] ?? 0)
      return photometrics.black
    case photometrics.ycbcr:
      eachColour(pixels, channels, ycbcrToRgb)
      return photometrics.rgb
    case photometrics.cielab:
      eachColour(pixels, channels, (l, a, b) => labToRgb((l / full) * 100, a / 256 - 128, b / 256 - 128))
      return photometrics.rgb
    case photometrics.icclab:
      eachColour(pixels, channels, (l, a, b) =>
        labToRgb((l / (255 * iccStep)) * 100, a / iccStep - 128, b / iccStep - 128),
      )
      return photometrics.rgb
    default:
      return photometric
  }
}

type Colour = [number, number, number]

function eachColour(
  pixels: Uint16Array,
  channels: number,
  convert: (first: number, second: number, third: number) => Colour,
): void {
  for (let at = 0; at < pixels.length; at += channels) {
    const colour = convert(pixels[at] ?? 0, pixels[at + 1] ?? 0, pixels[at + 2] ?? 0)
    for (const [index, value] of colour.entries()) {
      pixels[at + index] = Math.max(0, Math.min(full, Math.round(value)))
    }
  }
}

/** TIFF 6.0, section 21, with its default coefficients (BT.601) and reference values. */
function ycbcrToRgb(y: number, cb: number, cr: number): Colour {
  const half = full / 2
  const [blue, red] = [y + 1.772 * (cb - half), y + 1.402 * (cr - half)]
  return [red, (y - 0.299 * red - 0.114 * blue) / 0.587, blue]
}

/** CIE L*a*b* of D50 to sRGB of D65, adapted by Bradford's matrix. */
function labToRgb(l: number, a: number, b: number): Colour {
  const fy = (l + 16) / 116
  const inverse = (t: number) => (t > 6 / 29 ? t ** 3 : (t - 16 / 116) / 7.787)
  const x = 0.9642 * inverse(fy + a / 500)
  const y = inverse(fy)
  const z = 0.8249 * inverse(fy - b / 200)
  return [
    toSrgb(3.1338561 * x - 1.6168667 * y - 0.4906146 * z),
    toSrgb(-0.9787684 * x + 1.9161415 * y + 0.033454 * z),
    toSrgb(0.0719453 * x - 0.2289914 * y + 1.4052427 * z),
  ]
}

/** IEC 61966-2-1. @returns 0–65535, and beyond for colours that sRGB does not have */
function toSrgb(linear: number): number {
  return full * (linear <= 0.0031308 ? 12.92 * linear : 1.055 * linear ** (1 / 2.4) - 0.055)
}
