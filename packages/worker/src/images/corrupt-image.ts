import { AppError } from '@millrace/shared/service/app-error.ts'
import { type ImageKind, imageKindNames } from './image-kind.ts'

/**
 * Maps a decoding error of sharp to an error that the owner understands. libvips has no error codes, only texts. The
 * original error is kept as the cause, for the log.
 *
 * @param bytes the whole file
 * @param thrown the error of sharp
 * @returns AppError `image_corrupt`, or `processing_failed` if memory ran out, which is not the file's fault
 */
export function corruptImage(kind: ImageKind, bytes: Uint8Array, thrown: unknown): AppError {
  const text = thrown instanceof Error ? thrown.message : String(thrown)
  if (/out of memory|unable to m?alloc/i.test(text))
    return new AppError('processing_failed', { cause: thrown })
  const name = imageKindNames[kind]
  const message = isTruncated(kind, bytes, text)
    ? `The ${name} is incomplete: the file ends before the end of the image.`
    : `The ${name} is damaged: its image data cannot be decoded.`
  return new AppError('image_corrupt', { message, cause: thrown })
}

function isTruncated(kind: ImageKind, bytes: Uint8Array, text: string): boolean {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  switch (kind) {
    case 'image/jpeg':
      return /premature end of JPEG/i.test(text)
    case 'image/gif':
      return /unexpected end/i.test(text)
    case 'image/avif':
      return /bad seek|end of (data|file)/i.test(text)
    case 'image/png':
    case 'image/apng':
      // PNG specification, 5.6: IEND is the last chunk.
      return file.lastIndexOf('IEND') === -1
    case 'image/webp':
      // WebP container, "RIFF file header": the size of everything after the first 8 bytes.
      return file.length < 12 || file.readUInt32LE(4) + 8 > file.length
    case 'image/tiff':
      return /read error|out of bounds|can ?not (read|seek)/i.test(text)
  }
}
