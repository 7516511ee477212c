import { rgbaToThumbHash } from 'thumbhash'
import { openRaster, type Raster, type Size } from '../formats/raster.ts'

/** ThumbHash's limit for each side, in pixels. */
const maxSide = 100

/** Returns the scale at which an image must be decoded for its placeholder; at most 1, since nothing is enlarged. */
export function placeholderScale({ width, height }: Size): number {
  return Math.min(1, maxSide / Math.max(width, height))
}

/**
 * Makes a blurred preview of about 25 bytes, which a page shows until the image is loaded.
 *
 * @returns a ThumbHash (evanw.github.io/thumbhash), base64
 */
export async function makePlaceholder(raster: Raster): Promise<string> {
  const { data, info } = await openRaster(raster)
    .resize({ width: maxSide, height: maxSide, fit: 'inside', withoutEnlargement: true })
    .toColourspace('srgb')
    .ensureAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true })
  return Buffer.from(rgbaToThumbHash(info.width, info.height, data)).toString('base64')
}
