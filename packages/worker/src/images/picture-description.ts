import type { Findings } from '@millrace/shared/uploads/upload.ts'
import { rgbaToThumbHash } from 'thumbhash'
import type { Raster, Size } from '../pixels/raster.ts'
import { dominantColor } from './dominant-color.ts'
import { perceptualHash } from './perceptual-hash.ts'
import { shrinkToFew } from './small-picture.ts'
import { scaled } from './variant-size.ts'

/**
 * The longest side of the pixels that the description is computed from. A ThumbHash has 7 waves a side and the perceptual
 * hash 10, so more pixels change nothing, and cost time.
 */
const maxSide = 32

/** The longest side in which an image is decoded for it at least, so that each of the few pixels is an average. */
const decodedSide = 100

/** Returns the scale at which an image must be decoded to be described; at most 1, since nothing is enlarged. */
export function descriptionScale({ width, height }: Size): number {
  return Math.min(1, decodedSide / Math.max(width, height))
}

/**
 * Describes a picture from a few of its pixels.
 *
 * @returns `placeholder`, a ThumbHash (evanw.github.io/thumbhash) in base64: a blurred preview of about 25 bytes, which a
 *   page shows until the image is loaded; `dominantColor`, none if everything is transparent; `perceptualHash`
 */
export function describePicture(
  raster: Raster,
): Pick<Findings, 'placeholder' | 'dominantColor' | 'perceptualHash'> {
  const picture = shrinkToFew(
    raster,
    scaled(raster, Math.min(1, maxSide / Math.max(raster.width, raster.height))),
  )
  const color = dominantColor(picture)
  const thumbHash = rgbaToThumbHash(picture.width, picture.height, picture.rgba)
  return {
    placeholder: Buffer.from(thumbHash).toString('base64'),
    ...(color !== undefined && { dominantColor: color }),
    perceptualHash: perceptualHash(picture),
  }
}
