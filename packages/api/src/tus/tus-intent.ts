import type { UploadIntent } from '@millrace/shared/uploads/upload.ts'
import { readUnsizedAnnouncement } from '../announcing/announcement.ts'
import type { TusMetadata } from './tus-metadata.ts'

/**
 * Metadata names that tus clients use for the filename and the content type. The first one that is present is
 * used.
 */
const filenameNames = ['filename', 'name']
const contentTypeNames = ['filetype', 'type', 'contentType']
/** Metadata names that Uppy adds to every file. */
const uppyNames = ['relativePath', 'size']
const reservedNames = new Set([...filenameNames, ...contentTypeNames, ...uppyNames, 'preset', 'sha256'])

/**
 * Reads the intent of a tus upload, without its size. All metadata names except the reserved ones become metadata of the
 * upload.
 *
 * @param fallback the filename if the client sent none, because tus does not require one
 * @throws AppError `invalid_request` with the names of the invalid fields
 */
export function tusIntent(metadata: TusMetadata, fallback: string): Omit<UploadIntent, 'size'> {
  const first = (names: string[]) => names.map((name) => metadata[name]).find(Boolean)
  const rest = Object.entries(metadata).filter(([name, value]) => value && !reservedNames.has(name))
  const { preset, sha256 } = metadata
  return readUnsizedAnnouncement({
    filename: first(filenameNames) ?? fallback,
    contentType: first(contentTypeNames) ?? 'application/octet-stream',
    ...(preset && { preset }),
    ...(sha256 && { sha256 }),
    ...(rest.length > 0 && { metadata: Object.fromEntries(rest) }),
  })
}

/** Builds `Upload-Metadata` from an intent, for uploads whose header is not stored any more. */
export function metadataOf(intent: UploadIntent): TusMetadata {
  const { filename, contentType, preset, declaredSha256, metadata } = intent
  return {
    filename,
    filetype: contentType,
    preset,
    ...(declaredSha256 && { sha256: declaredSha256 }),
    ...metadata,
  }
}
