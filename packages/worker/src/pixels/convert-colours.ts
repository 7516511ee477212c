import type { Sharp } from 'sharp'
import type { Cicp, PngColours } from '../structure/colour-coding.ts'
import { chromaticMatrix } from './chromatic-matrix.ts'
import type { OpenedImage, Selection } from './opened-image.ts'
import { sharp } from './sharp-setup.ts'
import {
  hlg,
  hlgGain,
  hlgLight,
  isHdr,
  pq,
  pqLight,
  srgbCode,
  srgbLight,
  toneScale,
} from './transfer-curves.ts'

/** Matrices from linear light of the primaries to that of sRGB (BT.709), by their code points: BT.2020, DCI P3, Display P3. */
const matrices: Readonly<Record<number, readonly number[]>> = {
  9: [1.6605, -0.5876, -0.0728, -0.1246, 1.1329, -0.0083, -0.0182, -0.1006, 1.1187],
  12: [1.2249, -0.2247, 0, -0.0421, 1.0419, 0, -0.0197, -0.0786, 1.0979],
}
const identity = [1, 0, 0, 0, 1, 0, 0, 0, 1]

/** A matrix to linear sRGB, and a curve from numbers to light. */
type Conversion = { matrix: readonly number[]; curve: (value: number) => number; transfer: number }

/** @returns undefined if the numbers are those of sRGB, or so near that nobody converts them */
function conversionOf(colours: Cicp | PngColours): Conversion | undefined {
  if ('primaries' in colours) {
    const { primaries, transfer } = colours
    const [matrix, curve] = [matrices[primaries], curves[transfer]]
    if (!matrix && !curve) return undefined
    return { matrix: matrix ?? identity, curve: curve ?? srgbLight, transfer }
  }
  const { gamma, chromaticities } = colours
  const matrix = chromaticities ? chromaticMatrix(chromaticities) : identity
  if (!matrix) return undefined
  return { matrix, curve: gamma === undefined ? srgbLight : (value) => value ** gamma, transfer: 0 }
}

/**
 * Wraps an image so that its pictures are in sRGB, if the file says by code points, or a PNG by its gamma and
 * chromaticities, that they are in other colours. libvips reads colour profiles only. High dynamic range is reduced.
 *
 * The picture is scaled before it is converted, which for these curves looks the same and takes less memory.
 */
export function inSrgb(image: OpenedImage, colours: Cicp | PngColours | undefined): OpenedImage {
  const conversion = colours && conversionOf(colours)
  if (!conversion) return image
  return {
    ...image,
    decode: (selection, use) =>
      image.decode(selection, async (picture) => use(await convert(picture, selection, conversion))),
  }
}

async function convert(
  picture: Sharp,
  { size, isAnimated }: Selection,
  conversion: Conversion,
): Promise<Sharp> {
  // An animation with code points has no high dynamic range in practice, and all its frames would be in memory.
  if (isAnimated) return picture
  const { data, info } = await picture
    .resize({ ...size, fit: 'fill' })
    .pipelineColourspace('rgb16')
    .toColourspace('rgb16')
    .raw({ depth: 'ushort' })
    .toBuffer({ resolveWithObject: true })
  const { width, height, channels } = info
  const samples = new Uint16Array(data.buffer, data.byteOffset, data.length / 2)
  return sharp(toSrgb(samples, channels, conversion), { raw: { width, height, channels } })
}

/** @returns pixels of 8 bits */
function toSrgb(samples: Uint16Array, channels: number, { matrix, curve, transfer }: Conversion): Buffer {
  // Light by sample of 16 bits. 1 is white; of HLG, it is the scene's light from 0 to 1.
  const toLinear = Float32Array.from({ length: 65_536 }, (_, sample) => curve(sample / 65_535))
  const [rr = 0, rg = 0, rb = 0, gr = 0, gg = 0, gb = 0, br = 0, bg = 0, bb = 0] = matrix
  const compresses = isHdr(transfer)
  const out = Buffer.alloc(samples.length)
  const hasColour = channels >= 3
  const [second, third] = hasColour ? [1, 2] : [0, 0]
  for (let at = 0; at < samples.length; at += channels) {
    let r = toLinear[samples[at] ?? 0] ?? 0
    let g = toLinear[samples[at + second] ?? 0] ?? 0
    let b = toLinear[samples[at + third] ?? 0] ?? 0
    if (transfer === hlg) {
      const scale = hlgGain(r, g, b)
      ;[r, g, b] = [r * scale, g * scale, b * scale]
    }
    ;[r, g, b] = [rr * r + rg * g + rb * b, gr * r + gg * g + gb * b, br * r + bg * g + bb * b]
    if (compresses) {
      const scale = toneScale(Math.max(r, g, b))
      ;[r, g, b] = [r * scale, g * scale, b * scale]
    }
    out[at] = srgbCode(r)
    if (hasColour) {
      out[at + 1] = srgbCode(g)
      out[at + 2] = srgbCode(b)
    }
    if (channels === 2 || channels === 4) {
      const alpha = at + channels - 1
      out[alpha] = Math.round((samples[alpha] ?? 0) / 257)
    }
  }
  return out
}

/** Curves that differ from sRGB's, by code point. */
const curves: Readonly<Record<number, (value: number) => number>> = {
  8: (value) => value,
  [pq]: pqLight,
  [hlg]: hlgLight,
}
