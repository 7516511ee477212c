import type { Raster, Size } from '../pixels/raster.ts'

/** A few pixels of a picture: rows from the top, red, green, blue and alpha of 8 bits, alpha not premultiplied. */
export type SmallPicture = Size & { rgba: Uint8Array }

/** The most pixels of a raster that one pixel is averaged from, along each side. */
const maxSamples = 8

/**
 * The pixels of a row or column that one pixel is made of, and how much of each. All have the same number of samples, one
 * after the other; a sample that is not needed has the weight 0.
 */
type Samples = { perPixel: number; at: Int32Array; weights: Float64Array }

/**
 * Scales a raster down by averaging. Of a large raster, evenly spread pixels are averaged instead of all. For so few pixels
 * this takes a fifth of the CPU of a pipeline of sharp.
 *
 * @param size not larger than the raster
 */
export function shrinkToFew(raster: Raster, { width, height }: Size): SmallPicture {
  const { data, channels } = raster
  const alphaAt = channels === 2 || channels === 4 ? channels - 1 : undefined
  const [greenAt, blueAt] = channels < 3 ? [0, 0] : [1, 2]
  const columns = samplesOf(raster.width, width)
  const rows = samplesOf(raster.height, height)
  // It rounds and clamps.
  const rgba = new Uint8ClampedArray(width * height * 4)
  for (let pixel = 0; pixel < width * height; pixel++) {
    const firstRow = Math.floor(pixel / width) * rows.perPixel
    const firstColumn = (pixel % width) * columns.perPixel
    let red = 0
    let green = 0
    let blue = 0
    let visible = 0
    let total = 0
    for (let row = firstRow; row < firstRow + rows.perPixel; row++) {
      const start = (rows.at[row] ?? 0) * raster.width
      for (let column = firstColumn; column < firstColumn + columns.perPixel; column++) {
        const at = (start + (columns.at[column] ?? 0)) * channels
        const weight = (rows.weights[row] ?? 0) * (columns.weights[column] ?? 0)
        // A transparent pixel has no colour.
        const share = alphaAt === undefined ? weight : weight * ((data[at + alphaAt] ?? 0) / 255)
        red += (data[at] ?? 0) * share
        green += (data[at + greenAt] ?? 0) * share
        blue += (data[at + blueAt] ?? 0) * share
        visible += share
        total += weight
      }
    }
    rgba[pixel * 4] = red / (visible || 1)
    rgba[pixel * 4 + 1] = green / (visible || 1)
    rgba[pixel * 4 + 2] = blue / (visible || 1)
    rgba[pixel * 4 + 3] = (255 * visible) / total
  }
  return { width, height, rgba: new Uint8Array(rgba.buffer) }
}

/** @param length pixels of the raster along a side. @param count pixels that are made of them */
function samplesOf(length: number, count: number): Samples {
  const span = length / count
  // A pixel of up to 8 others may cover parts of 9.
  const perPixel = span > maxSamples ? maxSamples : Math.ceil(span) + 1
  const at = new Int32Array(count * perPixel)
  const weights = new Float64Array(count * perPixel)
  for (let sample = 0; sample < at.length; sample++) {
    const pixel = Math.floor(sample / perPixel)
    const index = sample % perPixel
    const [start, end] = [pixel * span, (pixel + 1) * span]
    const place = span > maxSamples ? start + ((index + 0.5) * span) / perPixel : Math.floor(start) + index
    at[sample] = Math.min(place, length - 1)
    weights[sample] = span > maxSamples ? 1 : Math.max(0, Math.min(place + 1, end) - Math.max(place, start))
  }
  return { perPixel, at, weights }
}
