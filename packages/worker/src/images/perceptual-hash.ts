import type { SmallPicture } from './small-picture.ts'

/** Waves across each side; the lowest 64 of them make the hash. */
const wavesPerSide = 11
const bits = 64

/**
 * Waves weaker than this are noise of an encoder, not of the picture: their bit is 0. In units of luminance, from 0 to 255.
 */
const noise = 0.25

/**
 * The 64 lowest frequencies after the average, by the sum of their numbers of waves across and down.
 */
const frequencies = Array.from({ length: wavesPerSide ** 2 }, (_, index) => ({
  across: index % wavesPerSide,
  down: Math.floor(index / wavesPerSide),
}))
  .sort((a, b) => a.across + a.down - (b.across + b.down) || a.down - b.down)
  .slice(1, bits + 1)

/**
 * Computes a hash of what a picture shows, after pHash (phash.org): the discrete cosine transform of its luminance, one bit for
 * each of the 64 lowest frequencies, set if it is above the median. Copies that were scaled or encoded again differ in few
 * bits, other pictures in some 32. It does not survive turning, mirroring and cropping.
 *
 * @returns 16 hex digits
 */
export function perceptualHash(picture: SmallPicture): string {
  const strengths = transform(picture)
  const sorted = [...strengths].sort((a, b) => a - b)
  const median = ((sorted[bits / 2 - 1] ?? 0) + (sorted[bits / 2] ?? 0)) / 2
  let hash = 0n
  for (const strength of strengths) {
    const isSet = strength > median && Math.abs(strength) > noise
    hash = (hash << 1n) | (isSet ? 1n : 0n)
  }
  return hash.toString(16).padStart(bits / 4, '0')
}

/** Returns the strength of each frequency. */
function transform(picture: SmallPicture): number[] {
  const { width, height } = picture
  const luminance = luminanceOf(picture)
  const waves = Array.from({ length: wavesPerSide }, (_, count) => ({
    across: wave(width, count),
    down: wave(height, count),
  }))
  /** For each number of waves across: the sums of the rows. */
  const rows = waves.map(({ across }) => {
    const sums = new Float64Array(height)
    for (let y = 0; y < height; y++) {
      let sum = 0
      for (let x = 0; x < width; x++) sum += (luminance[y * width + x] ?? 0) * (across[x] ?? 0)
      sums[y] = sum
    }
    return sums
  })
  return frequencies.map(({ across, down }) => {
    const [row, column] = [rows[across], waves[down]?.down]
    let sum = 0
    for (let y = 0; y < height; y++) sum += (row?.[y] ?? 0) * (column?.[y] ?? 0)
    return sum / (width * height)
  })
}

/** Returns one cosine wave, sampled in the middle of each pixel, so that it does not depend on their number. */
function wave(pixels: number, count: number): Float64Array {
  return Float64Array.from({ length: pixels }, (_, at) => Math.cos((Math.PI / pixels) * count * (at + 0.5)))
}

/** Luminance of BT.601 on white, from 0 to 255. */
function luminanceOf({ rgba, width, height }: SmallPicture): Float64Array {
  const luminance = new Float64Array(width * height)
  for (let pixel = 0, at = 0; pixel < luminance.length; pixel++, at += 4) {
    const visible = (rgba[at + 3] ?? 0) / 255
    const color = 0.299 * (rgba[at] ?? 0) + 0.587 * (rgba[at + 1] ?? 0) + 0.114 * (rgba[at + 2] ?? 0)
    luminance[pixel] = color * visible + 255 * (1 - visible)
  }
  return luminance
}
