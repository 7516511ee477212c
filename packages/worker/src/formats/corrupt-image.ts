import { AppError } from '@millrace/shared/service/app-error.ts'
import { checkAfterFailure } from '../headers/image-structure.ts'
import type { Structure } from '../structure/structure.ts'
import { type ImageKind, imageKindNames, type LibvipsKind } from './image-kind.ts'

/**
 * Maps a decoding error of sharp to an error that the owner understands. The file's structure says whether it ends too
 * early. The original error is kept as the cause, for the log.
 *
 * @param bytes the whole file
 * @param thrown the error of sharp
 * @returns AppError `image_corrupt`, or `processing_failed` if memory ran out, which is not the file's fault
 */
export function corruptImage(kind: LibvipsKind, bytes: Buffer, thrown: unknown): AppError {
  const text = thrown instanceof Error ? thrown.message : String(thrown)
  // A decoder has one image at a time, so the text belongs to it.
  if (/out of memory|unable to m?alloc/i.test(text))
    return new AppError('processing_failed', { cause: thrown })
  const structure = checkAfterFailure(kind, bytes)
  return structureError(kind, structure.state === 'truncated' ? 'truncated' : 'damaged', thrown)
}

/** Returns the AppError `image_corrupt` of a file whose structure is at fault. */
export function structureError(
  kind: ImageKind,
  state: Exclude<Structure['state'], 'whole'>,
  cause: unknown,
): AppError {
  const name = imageKindNames[kind]
  const message =
    state === 'truncated'
      ? `The ${name} is incomplete: the file ends before the end of the image.`
      : `The ${name} is damaged: its image data cannot be decoded.`
  return new AppError('image_corrupt', { message, cause })
}
