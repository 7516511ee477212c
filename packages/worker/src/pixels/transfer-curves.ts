/** ITU-T H.273, table 3: SMPTE ST 2084 (PQ), and ARIB STD-B67 (HLG). */
export const pq = 16
export const hlg = 18

/** ITU-R BT.2408: the luminance of white paper in HDR, and the peak of HLG on its reference display, in cd/m². */
const whitePaper = 203
const hlgPeak = 1_000

/** Below, colours stay as they are. Above, up to the brightest of 10,000 cd/m², they approach white. */
const knee = 0.8

/** Whether a transfer characteristic of ITU-T H.273 is one of high dynamic range. */
export function isHdr(transfer: number): boolean {
  return transfer === pq || transfer === hlg
}

/** ITU-R BT.2100, table 4: the light of a PQ number from 0 to 1, as a multiple of white paper. */
export function pqLight(value: number): number {
  const power = value ** (1 / 78.84375)
  const light = Math.max(0, power - 0.8359375) / (18.8515625 - 18.6875 * power)
  return (10_000 * light ** (1 / 0.1593017578125)) / whitePaper
}

/** ITU-R BT.2100, table 5: the light of the scene of an HLG number, both from 0 to 1. */
export function hlgLight(value: number): number {
  if (value <= 0.5) return value ** 2 / 3
  return (Math.exp((value - 0.55991073) / 0.17883277) + 0.28466892) / 12
}

/**
 * ITU-R BT.2100, table 5: by what the light of a scene is multiplied on the reference display, as a multiple of white paper.
 * The luminance there is that of the scene to the power of 1.2.
 *
 * @param red,green,blue light of the scene in BT.2020
 */
export function hlgGain(red: number, green: number, blue: number): number {
  return ((0.2627 * red + 0.678 * green + 0.0593 * blue) ** 0.2 * hlgPeak) / whitePaper
}

/**
 * Returns by what a colour of high dynamic range is multiplied, so that it can be shown: what is brighter than white is
 * compressed softly. The brightest channel decides, so that the hue stays.
 *
 * @param brightest light of the brightest channel; 1 is white paper
 */
export function toneScale(brightest: number): number {
  if (brightest <= knee) return 1
  const range = 1 - knee
  const beyond = (brightest - knee) / range
  return (knee + (range * beyond) / (1 + beyond)) / brightest
}

/** IEC 61966-2-1. The curves of BT.709 and BT.2020 are shown with it too. */
export function srgbLight(value: number): number {
  return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
}

/** Codes by the root of the light, so that steps are as fine in the dark as the curve is steep. */
const srgbCodes = Uint8Array.from({ length: 4_097 }, (_, step) => {
  const light = (step / 4_096) ** 2
  return Math.round(255 * (light <= 0.0031308 ? 12.92 * light : 1.055 * light ** (1 / 2.4) - 0.055))
})

/** IEC 61966-2-1: the code of 8 bits. @param light is limited to 0 to 1 */
export function srgbCode(light: number): number {
  if (light <= 0) return 0
  return srgbCodes[Math.min(4_096, Math.round(Math.sqrt(light) * 4_096))] ?? 0
}
