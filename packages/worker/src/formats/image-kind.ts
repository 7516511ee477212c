import { videoFrameKind } from '../headers/video-frame-kind.ts'

/**
 * The kinds of image that are rendered, and their names in messages. Each has an entry in `open-image.ts`.
 *
 * This list is read in the worker itself, so it loads no decoder.
 */
export const imageKindNames = {
  'image/jpeg': 'JPEG',
  'image/png': 'PNG',
  'image/apng': 'PNG',
  'image/webp': 'WebP',
  'image/avif': 'AVIF',
  'image/gif': 'GIF',
  'image/tiff': 'TIFF',
  'image/heic': 'HEIC',
  'image/heif': 'HEIF',
  'image/bmp': 'BMP',
  'image/x-icon': 'ICO',
  'image/jxl': 'JPEG XL',
  'image/svg+xml': 'SVG',
  'application/pdf': 'PDF',
  'image/x-adobe-dng': 'DNG raw file',
  'image/x-canon-cr2': 'CR2 raw file',
  'image/x-canon-cr3': 'CR3 raw file',
  'image/x-fujifilm-raf': 'RAF raw file',
  'image/x-nikon-nef': 'NEF raw file',
  'image/x-olympus-orf': 'ORF raw file',
  'image/x-panasonic-rw2': 'RW2 raw file',
  'image/x-pentax-pef': 'PEF raw file',
  'image/x-sony-arw': 'ARW raw file',
  [videoFrameKind]: 'video frame',
} as const

export type ImageKind = keyof typeof imageKindNames

export function isImageKind(mediaType: string | undefined): mediaType is ImageKind {
  return mediaType !== undefined && Object.hasOwn(imageKindNames, mediaType)
}

/** libvips' format name of each kind that it decodes itself. */
export const libvipsFormats = {
  'image/jpeg': 'jpeg',
  'image/png': 'png',
  'image/apng': 'png',
  'image/webp': 'webp',
  'image/avif': 'heif',
  'image/gif': 'gif',
  'image/tiff': 'tiff',
} as const satisfies Partial<Record<ImageKind, string>>

export type LibvipsKind = keyof typeof libvipsFormats

/** Files of cameras, of which only the embedded preview is shown. */
export type RawKind = Extract<ImageKind, `image/x-${string}-${string}`>

export function isRawKind(kind: ImageKind): kind is RawKind {
  return imageKindNames[kind].endsWith(' raw file')
}

/**
 * Whether a file of the kind is kept without a picture if none can be made: documents and raw files are more than their
 * pictures.
 */
export function isKeptWithoutPicture(kind: ImageKind): boolean {
  return kind === 'application/pdf' || isRawKind(kind)
}
