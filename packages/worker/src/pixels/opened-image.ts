import type { Sharp } from 'sharp'
import type { Size } from './raster.ts'

/** What of an image is decoded. */
export type Selection = {
  /** Which page of a document or frame of an animation, from 0. */
  page: number
  /** All frames instead of one. The picture is then a column of frames, as libvips has them. */
  isAnimated: boolean
  /** The size in which one frame will be used, in pixels. A vector image is drawn in it; a JPEG is decoded near it. */
  size: Size
}

/**
 * A file whose header passed inspection. Whatever library decodes a format, rendering gets a picture of sharp.
 *
 * `decode` runs `use` with an upright picture: turned as the file says, in any size that is not smaller than the selected
 * one, in the file's own colours. It may run `use` twice, if the file must be repaired first.
 */
export type OpenedImage = Size & {
  /** Pixels of one frame, as displayed: after the file's orientation is applied. */
  width: number
  height: number
  /** Frames of an animation; 1 for a still image. */
  frames: number
  /** Pages of a document; 1 for all other images. */
  pages: number
  /** Drawn in any size without a loss, as SVG and PDF. `width` and `height` are the size that the file asks for. */
  isVector: boolean
  /** What the owner should know although the image is whole, one sentence each. */
  warnings: string[]
  decode<Result>(selection: Selection, use: (picture: Sharp) => Promise<Result>): Promise<Result>
}

/** Limits of opening an image, besides those of the process. */
export type OpenLimits = {
  /** Of all frames together. */
  maxPixels: number
  /** Path of the program that decodes frames of videos; undefined: there is none. */
  ffmpeg?: string | undefined
}

/**
 * Reads a file's header. No pixels are decoded.
 *
 * @throws AppError `image_corrupt`, `image_too_many_pixels`, `image_too_complex`, `image_not_supported`
 */
export type OpenImage<Kind> = (kind: Kind, bytes: Buffer, limits: OpenLimits) => Promise<OpenedImage>
