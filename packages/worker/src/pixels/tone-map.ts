import { hlg, hlgGain, hlgLight, pq, pqLight, srgbCode, toneScale } from './transfer-curves.ts'

/** Deep pixels: rows of `stride` bytes, 16 bits per channel with the low byte first, of which the lower `bits` are used. */
type DeepPixels = { data: Uint8Array; width: number; height: number; stride: number; bits: number }

/**
 * Converts pixels of high dynamic range to 8 bits with sRGB's curve, in their own primaries.
 *
 * White paper becomes a little darker than white, and highlights are compressed softly.
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
        const gain = hlgGain(red, green, blue)
        red *= gain
        green *= gain
        blue *= gain
      }
      const scale = toneScale(Math.max(red, green, blue))
      target[to] = srgbCode(red * scale)
      target[to + 1] = srgbCode(green * scale)
      target[to + 2] = srgbCode(blue * scale)
      if (channels === 4) target[to + 3] = Math.round((255 * channel(at + 6)) / max)
      to += channels
    }
  }
}
