import { numbersOf, openDirectory, tags } from './tiff-directory.ts'

/** Values of PhotometricInterpretation (TIFF 6.0, section 8 and later; the supplement for ICC). */
export const photometrics = {
  white: 0,
  black: 1,
  rgb: 2,
  palette: 3,
  mask: 4,
  separated: 5,
  ycbcr: 6,
  cielab: 8,
  icclab: 9,
} as const

/** Values of SampleFormat (TIFF 6.0, section 19). */
export const sampleFormats = { unsigned: 1, signed: 2, float: 3, undefined: 4 } as const

/** Values of Compression that matter here. */
export const compressions = {
  none: 1,
  lzw: 5,
  jpeg: 7,
  deflate: 8,
  oldDeflate: 32_946,
  packBits: 32_773,
  zstd: 50_000,
} as const

/** How a page's samples are stored, with the defaults of TIFF 6.0 for missing tags. */
export type TiffEncoding = {
  width: number
  height: number
  compression: number
  photometric: number
  /** Bits of each sample. */
  bits: number[]
  sampleFormat: number
  /** What the samples beyond the colours are: 1 premultiplied alpha, 2 alpha, 0 anything else. */
  extraSamples: number[]
  /** Each sample in strips or tiles of its own. */
  isPlanar: boolean
  /** 1 none, 2 horizontal differences, 3 differences of floating point numbers. */
  predictor: number
  fillOrder: number
  orientation: number
  subsampling: [number, number]
  /** The largest value of a sample, if the file states it. */
  maxValue: number | undefined
  tile: { width: number; height: number } | undefined
  rowsPerStrip: number
  isLittleEndian: boolean
  iccProfile: Buffer | undefined
}

/** @returns undefined if the file has no such page */
export function readTiffEncoding(file: Buffer, page = 0): TiffEncoding | undefined {
  const directory = openDirectory(file, page)
  if (!directory) return undefined
  const { layout, entries } = directory
  const all = (tag: number, limit = 64) => numbersOf(file, layout, entries, tag, limit)
  const one = <Missing>(tag: number, missing: Missing) => all(tag, 1)[0] ?? missing
  const [height, samples] = [one(tags.imageLength, 0), one(tags.samplesPerPixel, 1)]
  const bits = all(tags.bitsPerSample)
  const [horizontal = 2, vertical = 2] = all(tags.subsampling, 2)
  const tileWidth = one(tags.tileWidth, 0)
  const profile = entries.find(({ tag }) => tag === tags.iccProfile)
  return {
    width: one(tags.imageWidth, 0),
    height,
    compression: one(tags.compression, compressions.none),
    // TIFF 6.0 has no default. Decoders guess by the number of samples.
    photometric: one(tags.photometric, samples >= 3 ? photometrics.rgb : photometrics.black),
    bits: Array.from({ length: Math.min(samples, 64) }, (_, index) => bits[index] ?? bits[0] ?? 1),
    sampleFormat: one(tags.sampleFormat, sampleFormats.unsigned),
    extraSamples: all(tags.extraSamples),
    isPlanar: one(tags.planarConfiguration, 1) === 2 && samples > 1,
    predictor: one(tags.predictor, 1),
    fillOrder: one(tags.fillOrder, 1),
    orientation: one(tags.orientation, 1),
    subsampling: [horizontal, vertical],
    maxValue: one(tags.maxSampleValue, undefined),
    tile: tileWidth > 0 ? { width: tileWidth, height: one(tags.tileLength, tileWidth) } : undefined,
    rowsPerStrip: Math.max(1, Math.min(one(tags.rowsPerStrip, height), height)),
    isLittleEndian: layout.little,
    iccProfile:
      profile && profile.at + profile.count <= file.length
        ? file.subarray(profile.at, profile.at + profile.count)
        : undefined,
  }
}

/** The number of samples that make a colour, by photometric interpretation. */
const colourCounts: Readonly<Record<number, number>> = {
  [photometrics.white]: 1,
  [photometrics.black]: 1,
  [photometrics.rgb]: 3,
  [photometrics.palette]: 1,
  [photometrics.mask]: 1,
  [photometrics.separated]: 4,
  [photometrics.ycbcr]: 3,
  [photometrics.cielab]: 3,
  [photometrics.icclab]: 3,
}

/** @returns 0 if the interpretation is unknown */
export function colourCount({ photometric }: TiffEncoding): number {
  return colourCounts[photometric] ?? 0
}

/** Compressions that nothing here decompresses, by what they are called. */
const otherCompressions: Readonly<Record<number, string>> = {
  6: 'old-style JPEG',
  9: 'JBIG',
  10: 'JBIG',
  32766: 'NeXT RLE',
  32809: 'ThunderScan',
  32895: 'RasterPadding',
  32908: 'PixarFilm',
  32909: 'PixarLog',
  33003: 'JPEG 2000',
  33004: 'JPEG 2000',
  33005: 'JPEG 2000',
  33007: 'lossy JPEG',
  34661: 'JBIG',
  34676: 'SGILog',
  34677: 'SGILog24',
  34712: 'JPEG 2000',
  34887: 'LERC',
  34892: 'lossy JPEG',
  34925: 'LZMA',
  50002: 'JPEG XL',
  52546: 'JPEG XL',
}
/** Decompressed by libtiff: none, CCITT (2, 3, 4, 32771), LZW, JPEG, Deflate, PackBits, WebP; by Node: ZSTD. */
const readCompressions: ReadonlySet<number> = new Set([
  1, 2, 3, 4, 5, 7, 8, 32_771, 32_773, 32_946, 50_000, 50_001,
])

const otherColours: Readonly<Record<number, string>> = {
  10: 'the colour space ITU L*a*b*',
  32803: 'the unprocessed data of a camera sensor',
  32844: 'the colour space LogL',
  32845: 'the colour space LogLuv',
  34892: 'the linear data of a camera sensor',
  51177: 'a depth map',
}

/**
 * Names what makes a page one that is not decoded although it may be whole.
 *
 * @returns a sentence, or undefined
 */
export function unsupportedTiff(file: Buffer, page = 0): string | undefined {
  const encoding = readTiffEncoding(file, page)
  if (!encoding) return undefined
  const { compression, photometric, bits, sampleFormat } = encoding
  if (!readCompressions.has(compression)) {
    const name = otherCompressions[compression] ?? `method ${compression}`
    return `The TIFF is compressed with ${name}, which is not supported.`
  }
  if (colourCount(encoding) === 0) {
    return `The TIFF has ${otherColours[photometric] ?? `the colour space ${photometric}`}, which is not supported.`
  }
  if (sampleFormat > sampleFormats.undefined) return 'The TIFF has complex numbers, which are not supported.'
  if (bits.length < colourCount(encoding)) return undefined
  if (bits.some((count) => count !== bits[0])) {
    return `The TIFF has samples of different sizes (${bits.join(', ')} bits), which are not supported.`
  }
  if (compression === compressions.jpeg && bits[0] !== 8) {
    return `The TIFF is compressed with JPEG of ${bits[0]} bits, which is not supported.`
  }
  return needsOwnSamples(encoding) ? unreadSamples(encoding) : undefined
}

/** Bits of a sample that are read. */
const floatBits: readonly number[] = [16, 32, 64]
/** The compressions whose result is bytes, whatever the samples are. */
const byteCompressions: ReadonlySet<number> = new Set(
  Object.values(compressions).filter((one) => one !== compressions.jpeg),
)

function unreadSamples(encoding: TiffEncoding): string | undefined {
  const { bits, sampleFormat, photometric, compression } = encoding
  const size = bits[0] ?? 0
  const kind = sampleFormat === sampleFormats.float ? 'floating point numbers' : 'samples'
  const isRead = sampleFormat === sampleFormats.float ? floatBits.includes(size) : size >= 1 && size <= 32
  if (!isRead) return `The TIFF has ${kind} of ${size} bits, which are not supported.`
  if (photometric === photometrics.palette || photometric === photometrics.mask) {
    return `The TIFF has a palette with ${kind} of ${size} bits in ${bits.length} channels, which is not supported.`
  }
  if (!byteCompressions.has(compression)) {
    return `The TIFF has ${kind} of ${size} bits in ${bits.length} channels with compression ${compression}, which is not supported.`
  }
  return undefined
}

/**
 * Whether libvips would refuse a page's samples or show them in wrong colours: numbers with a sign or a fraction, of other
 * sizes than 1, 2, 4, 8 and 16 bits, or whose largest value is smaller; channels that are neither colour nor alpha;
 * L*a*b* of 8 bits; YCbCr without subsampling; tiles in planes.
 */
export function needsOwnSamples(encoding: TiffEncoding): boolean {
  const {
    bits,
    sampleFormat,
    photometric,
    compression,
    extraSamples,
    isPlanar,
    tile,
    subsampling,
    maxValue,
  } = encoding
  const size = bits[0] ?? 1
  const colours = colourCount(encoding)
  const extra = bits.length - colours
  // JPEG and WebP have 8 bits and colours of their own. CCITT has two levels.
  if (!byteCompressions.has(compression)) return extra > 0 && !isAlphaOnly(extraSamples, extra)
  return (
    compression === compressions.zstd ||
    (sampleFormat !== sampleFormats.unsigned && sampleFormat !== sampleFormats.undefined) ||
    ![1, 2, 4, 8, 16].includes(size) ||
    (size < 8 && colours > 1) ||
    (size === 16 &&
      maxValue !== undefined &&
      maxValue > 0 &&
      maxValue < 0xffff &&
      photometric !== photometrics.palette) ||
    (extra > 0 && !isAlphaOnly(extraSamples, extra)) ||
    photometric === photometrics.icclab ||
    (photometric === photometrics.cielab && (size === 8 || extra > 0)) ||
    (photometric === photometrics.ycbcr && subsampling.every((factor) => factor === 1)) ||
    (isPlanar && tile !== undefined)
  )
}

function isAlphaOnly(extraSamples: number[], count: number): boolean {
  return count === 1 && (extraSamples[0] === 1 || extraSamples[0] === 2)
}
