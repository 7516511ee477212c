import { AppError } from '@millrace/shared/service/app-error.ts'
import { type ImageKind, imageKindNames } from './image-kind.ts'

/**
 * Turns what sharp threw while it decoded into an error that its owner understands. libvips gives no codes,
 * so its texts are all there is to go by; they are kept as the cause, for the log.
 *
 * @param bytes the whole file
 * @param thrown what sharp threw
 * @returns AppError `image_corrupt`, or `processing_failed` where memory ran out, which is not the file's fault
 */
export function corruptImage(kind: ImageKind, bytes: Uint8Array, thrown: unknown): AppError {
  const told = thrown instanceof Error ? thrown.message : String(thrown)
  if (/out of memory|unable to m?alloc/i.test(told))
    return new AppError('processing_failed', { cause: thrown })
  const name = imageKindNames[kind]
  const message = endsEarly(kind, bytes, told)
    ? `The ${name} is incomplete: the file ends before the picture does.`
    : `The ${name} is damaged: its picture data cannot be decoded.`
  return new AppError('image_corrupt', { message, cause: thrown })
}

function endsEarly(kind: ImageKind, bytes: Uint8Array, told: string): boolean {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  switch (kind) {
    case 'image/jpeg':
      return /premature end of JPEG/i.test(told)
    case 'image/gif':
      return /unexpected end/i.test(told)
    case 'image/avif':
      return /bad seek|end of (data|file)/i.test(told)
    case 'image/png':
    case 'image/apng':
      // PNG specification, 5.6: IEND is the last chunk.
      return file.lastIndexOf('IEND') === -1
    case 'image/webp':
      // WebP container, "RIFF file header": the size of all that follows the first 8 bytes.
      return file.length < 12 || file.readUInt32LE(4) + 8 > file.length
    case 'image/tiff':
      return /read error|out of bounds|can ?not (read|seek)/i.test(told)
  }
}
