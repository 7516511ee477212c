import type { UploadIntent } from '@millrace/shared/uploads/upload.ts'
import { readUnsizedAnnouncement } from '../uploads/announcement.ts'

/** Names under which tus clients give a file's name and type; the first that is there counts. */
const filenameNames = ['filename', 'name']
const contentTypeNames = ['filetype', 'type', 'contentType']
/** What Uppy tells of any file besides. */
const uppyNames = ['relativePath', 'size']
const ownNames = new Set([...filenameNames, ...contentTypeNames, ...uppyNames, 'preset', 'sha256'])

/** `Upload-Metadata`, decoded: a value is null where the client gave a name alone. */
export type TusMetadata = Record<string, string | null>

/**
 * What `Upload-Metadata` says of a file. What has no meaning to us is kept as the client's notes.
 *
 * @param fallback the name of a file that has none: tus does not ask for one
 * @throws AppError `invalid_request` that names the fields that are out of shape
 */
export function tusIntent(
  metadata: TusMetadata,
  { size, fallback }: { size: number; fallback: string },
): UploadIntent {
  const first = (names: string[]) => names.map((name) => metadata[name]).find(Boolean)
  const notes = Object.entries(metadata).filter(([name, value]) => value && !ownNames.has(name))
  const { preset, sha256 } = metadata
  return {
    ...readUnsizedAnnouncement({
      filename: first(filenameNames) ?? fallback,
      contentType: first(contentTypeNames) ?? 'application/octet-stream',
      ...(preset && { preset }),
      ...(sha256 && { sha256 }),
      ...(notes.length > 0 && { metadata: Object.fromEntries(notes) }),
    }),
    size,
  }
}

/** The metadata that says the same as an intent: for uploads whose client's own words are not kept any more. */
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
