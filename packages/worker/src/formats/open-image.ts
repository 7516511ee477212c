import { videoFrameKind } from '../structure/video-frame.ts'
import type { ImageKind } from './image-kind.ts'
import type { OpenedImage, OpenImage, OpenLimits } from './opened-image.ts'

const libvips = async () => (await import('./libvips-image.ts')).openLibvipsImage

/** The decoder of each kind. It is loaded with the first file that needs it, so that a decoder process starts fast. */
const openers: { [Kind in ImageKind]: () => Promise<OpenImage<Kind>> } = {
  'image/jpeg': libvips,
  'image/png': libvips,
  'image/apng': libvips,
  'image/webp': libvips,
  'image/avif': libvips,
  'image/gif': libvips,
  'image/tiff': libvips,
  [videoFrameKind]: async () => (await import('./video-frame-image.ts')).openVideoFrame,
}

/**
 * Opens an image with the decoder of its kind.
 *
 * @param kind as detected from the bytes
 * @param bytes the whole file
 * @throws AppError `image_corrupt`, `image_too_many_pixels`, `image_too_complex`, `image_not_supported`
 */
export async function openImage(kind: ImageKind, bytes: Buffer, limits: OpenLimits): Promise<OpenedImage> {
  return openWith(kind, bytes, limits)
}

async function openWith<Kind extends ImageKind>(kind: Kind, bytes: Buffer, limits: OpenLimits) {
  const open = await openers[kind]()
  return open(kind, bytes, limits)
}
