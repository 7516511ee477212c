import { Compile } from 'typebox/compile'
import { objectMetadataBytes, objectMetadataLimitBytes, toObjectMetadata } from '../ledger/object-metadata.ts'
import { intentFields } from '../uploads/intent-fields.ts'
import type { UploadIntent } from '../uploads/upload.ts'

/** What stands in for a name where a source gives none. */
const nameless = 'file'
const typeless = 'application/octet-stream'

const contentType = Compile(intentFields.contentType)

/**
 * The name that an address gives to its file: the last segment of its path.
 * @returns a name that is fit for an intent
 */
export function namedByUrl(url: URL): string {
  const segment = url.pathname.slice(url.pathname.lastIndexOf('/') + 1)
  try {
    return cleanName(decodeURIComponent(segment)) || nameless
  } catch {
    // Not percent-encoded UTF-8: taken as it is written.
    return cleanName(segment) || nameless
  }
}

/**
 * A name that somebody else gave to a file, without directories and without what no name may have in it.
 * @returns at most 255 characters; none where nothing is left
 */
export function cleanName(name: string): string {
  const base = name.slice(Math.max(name.lastIndexOf('/'), name.lastIndexOf('\\')) + 1)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is taken out
  const printable = base.replaceAll(/[\u0000-\u001f\u007f]/g, '').trim()
  const cut = printable.slice(0, 255).toWellFormed()
  return cut === '.' || cut === '..' ? '' : cut
}

/** The type that a source declares, or the one that says nothing where it declares none in the right form. */
export function declaredType(header: string | undefined): string {
  return contentType.Check(header) ? header : typeless
}

/**
 * The same intent with a name as long as S3 has room for beside the rest (names are percent-encoded there). For
 * names that nobody asked for: one that a client gave is refused rather than cut.
 */
export function withFittingName(intent: UploadIntent): UploadIntent {
  const characters = Array.from(intent.filename)
  const fits = (filename: string) =>
    objectMetadataBytes(toObjectMetadata({ ...intent, filename })) <= objectMetadataLimitBytes
  while (characters.length > 1 && !fits(characters.join(''))) characters.pop()
  return { ...intent, filename: characters.join('') }
}
