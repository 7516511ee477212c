import { objectMetadataBytes, objectMetadataLimitBytes, toObjectMetadata } from '../ledger/object-metadata.ts'
import { storedType } from '../uploads/content-type.ts'
import type { UploadIntent } from '../uploads/upload.ts'

/** Filename of a file whose source declares none. */
const defaultName = 'file'

/**
 * Returns the filename in a URL: the last segment of its path.
 *
 * @returns a valid filename of an intent; `file` if the path has none
 */
export function filenameOfUrl(url: URL): string {
  const segment = url.pathname.slice(url.pathname.lastIndexOf('/') + 1)
  try {
    return cleanFilename(decodeURIComponent(segment)) || defaultName
  } catch {
    // Not percent-encoded UTF-8: used as it is written.
    return cleanFilename(segment) || defaultName
  }
}

/**
 * Removes directories and control characters from a filename that does not come from the client.
 *
 * @returns at most 255 characters; an empty string if nothing is left
 */
export function cleanFilename(name: string): string {
  const base = name.slice(Math.max(name.lastIndexOf('/'), name.lastIndexOf('\\')) + 1)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is removed
  const printable = base.replaceAll(/[\u0000-\u001f\u007f]/g, '').trim()
  const shortened = printable.slice(0, 255).toWellFormed()
  return shortened === '.' || shortened === '..' ? '' : shortened
}

/** Returns the content type that a source declares, or `application/octet-stream` if it is not valid. */
export function declaredType(header: string | undefined): string {
  return storedType(header)
}

/**
 * Returns the intent with its filename shortened until the object metadata is within S3's limit (filenames
 * are percent-encoded there). Only for filenames that the client did not choose: a client's own filename is
 * refused rather than shortened.
 */
export function withShortenedFilename(intent: UploadIntent): UploadIntent {
  const characters = Array.from(intent.filename)
  const fits = (filename: string) =>
    objectMetadataBytes(toObjectMetadata({ ...intent, filename })) <= objectMetadataLimitBytes
  while (characters.length > 1 && !fits(characters.join(''))) characters.pop()
  return { ...intent, filename: characters.join('') }
}
