import { videoFrameKind } from '../structure/video-frame.ts'

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
