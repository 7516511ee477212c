import { videoFrameKind } from '../headers/video-frame-kind.ts'
import type { OpenedImage, OpenImage, OpenLimits } from '../pixels/opened-image.ts'
import type { ImageKind } from './image-kind.ts'

const heif = async () => (await import('./heif-image.ts')).openHeifImage
const libvips = async () => (await import('./libvips-image.ts')).openLibvipsImage
const raw = async () => (await import('./raw-image.ts')).openRawImage

/** The decoder of each kind. It is loaded with the first file that needs it, so that a decoder process starts fast. */
const openers: { [Kind in ImageKind]: () => Promise<OpenImage<Kind>> } = {
  'image/jpeg': libvips,
  'image/png': async () => (await import('./png-image.ts')).openPngImage,
  'image/apng': async () => (await import('./apng-image.ts')).openApngImage,
  'image/webp': libvips,
  'image/avif': async () => (await import('./avif-image.ts')).openAvifImage,
  'image/gif': libvips,
  'image/tiff': async () => (await import('./tiff-image.ts')).openTiffImage,
  'image/heic': heif,
  'image/heif': heif,
  'image/bmp': async () => (await import('./bmp-image.ts')).openBmpImage,
  'image/x-icon': async () => (await import('./ico-image.ts')).openIcoImage,
  'image/jxl': async () => (await import('./jxl-image.ts')).openJxlImage,
  'image/svg+xml': async () => (await import('./svg-image.ts')).openSvgImage,
  'application/pdf': async () => (await import('./pdf-image.ts')).openPdfImage,
  'image/x-adobe-dng': raw,
  'image/x-canon-cr2': raw,
  'image/x-canon-cr3': raw,
  'image/x-fujifilm-raf': raw,
  'image/x-nikon-nef': raw,
  'image/x-olympus-orf': raw,
  'image/x-panasonic-rw2': raw,
  'image/x-pentax-pef': raw,
  'image/x-sony-arw': raw,
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
