/** ITU-T H.273, table 3: SMPTE ST 2084 (PQ), and ARIB STD-B67 (HLG). */
const pq = 16
const hlg = 18

/** ITU-R BT.2408: the luminance of white paper in HDR, and the peak of HLG on its reference display, in cd/m². */
const referenceWhite = 203
const hlgPeak = 1000
/** PQ goes up to 10,000 cd/m²; pictures are mastered for displays of 1,000. */
const contentPeak = 1000 / referenceWhite

/** Weights of red, green and blue in the luminance of BT.2020 (ITU-R BT.2100, table 4). */
const luminance = [0.2627, 0.678, 0.0593] as const

/** Whether a transfer characteristic of ITU-T H.273 is one of high dynamic range. */
export function isHdr(transfer: number): boolean {
  return transfer === pq || transfer === hlg
}

/** Deep pixels: rows of `stride` bytes, 16 bits per channel with the low byte first, of which the lower `bits` are used. */
type DeepPixels = { data: Uint8Array; width: number; height: number; stride: number; bits: number }

/**
 * Converts pixels of high dynamic range to 8 bits with sRGB's curve, in their own primaries.
 *
 * White paper becomes a little darker than white, and highlights are compressed: x (1 + x / peak²) / (1 + x), applied to
 * the largest channel, so that hues stay.
 *
 * @param target receives rows without gaps
 */
export function toneMap(
  { data, width, height, stride, bits }: DeepPixels,
  { channels, transfer }: { channels: 3 | 4; transfer: number },
  target: Buffer,
): void {
  const max = 2 ** bits - 1
  const light = new Float32Array(max + 1)
  for (let code = 0; code <= max; code++)
    light[code] = transfer === pq ? pqLight(code / max) : hlgLight(code / max)
  const encoded = srgbCodes()
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const channel = (at: number) => Math.min(max, view.getUint16(at, true))
  let to = 0
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = y * stride + 2 * x * channels
      let red = light[channel(at)] ?? 0
      let green = light[channel(at + 2)] ?? 0
      let blue = light[channel(at + 4)] ?? 0
      if (transfer === hlg) {
        // BT.2100, table 5: the system gamma of 1.2 applies to the luminance of the scene.
        const scene = luminance[0] * red + luminance[1] * green + luminance[2] * blue
        const gain = (hlgPeak / referenceWhite) * scene ** 0.2
        red *= gain
        green *= gain
        blue *= gain
      }
      const brightest = Math.max(red, green, blue)
      const scale = (1 + brightest / contentPeak ** 2) / (1 + brightest)
      target[to] = encoded[Math.min(4095, Math.round(4095 * red * scale))] ?? 255
      target[to + 1] = encoded[Math.min(4095, Math.round(4095 * green * scale))] ?? 255
      target[to + 2] = encoded[Math.min(4095, Math.round(4095 * blue * scale))] ?? 255
      if (channels === 4) target[to + 3] = Math.round((255 * channel(at + 6)) / max)
      to += channels
    }
  }
}

/** BT.2100, table 4: the light of a PQ code from 0 to 1, as a multiple of white paper. */
function pqLight(code: number): number {
  const power = code ** (1 / 78.84375)
  const ratio = Math.max(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)
  return (10_000 / referenceWhite) * ratio ** (1 / 0.1593017578125)
}

/** BT.2100, table 5: the light of the scene, from 0 to 1. */
function hlgLight(code: number): number {
  if (code <= 0.5) return code ** 2 / 3
  return (Math.exp((code - 0.55991073) / 0.17883277) + 0.28466892) / 12
}

/** IEC 61966-2-1: the 8-bit codes of 4,096 steps of light. */
function srgbCodes(): Uint8Array {
  return Uint8Array.from({ length: 4096 }, (_, step) => {
    const light = step / 4095
    return Math.round(255 * (light <= 0.0031308 ? 12.92 * light : 1.055 * light ** (1 / 2.4) - 0.055))
  })
}
