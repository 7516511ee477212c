import { AppError } from '@millrace/shared/service/app-error.ts'
import type { UploadIntent } from '@millrace/shared/uploads/upload.ts'
import Type, { type Static } from 'typebox'
import { readAnnouncement } from '../announcing/announcement.ts'

/** A file as Uppy describes it to Companion, with the fields that the page has set in its `meta`. */
export const UppyFile = Type.Object({
  filename: Type.String(),
  type: Type.String(),
  metadata: Type.Record(
    Type.String(),
    Type.Union([Type.String(), Type.Number(), Type.Boolean(), Type.Null()]),
  ),
})
type UppyFile = Static<typeof UppyFile>

/** Fields of `meta` that Uppy adds to every file. */
const uppyFields = new Set(['name', 'type', 'relativePath'])
/** Fields of `meta` that belong to the announcement. All others are metadata of the upload. */
const announcementFields = new Set(['size', 'preset', 'sha256'])

/** Reads a file from Uppy's query: `filename`, `type`, and `metadata[…]` for each field of `meta`. */
export function uppyFileOfQuery(query: Record<string, string>): UppyFile {
  const { filename = '', type = '' } = query
  const metadata: UppyFile['metadata'] = {}
  for (const [name, value] of Object.entries(query)) {
    const [, field] = /^metadata\[(.+)\]$/.exec(name) ?? []
    if (field !== undefined) metadata[field] = value
  }
  return { filename, type, metadata }
}

/**
 * Reads the intent of a file from Uppy. `size`, `preset` and `sha256` are read from its `meta`. The other
 * fields of `meta` become metadata of the upload.
 *
 * @throws AppError `invalid_request`
 */
export function uppyIntent({ filename, type, metadata }: UppyFile): UploadIntent {
  const { size } = metadata
  if (size === undefined) {
    throw new AppError('invalid_request', {
      message:
        "metadata.size is required. Uppy does not send it: set size in the file's meta (docs/uppy.md).",
      fields: [{ field: 'metadata.size', message: 'is required' }],
    })
  }
  const fields = Object.entries(metadata)
    .filter(([name, value]) => value !== null && !uppyFields.has(name))
    .map(([name, value]) => [name, String(value)] as const)
  const otherFields = fields.filter(([name]) => !announcementFields.has(name))
  return readAnnouncement({
    ...Object.fromEntries(fields.filter(([name]) => announcementFields.has(name))),
    size: Number(size),
    filename,
    contentType: type || 'application/octet-stream',
    ...(otherFields.length > 0 && { metadata: Object.fromEntries(otherFields) }),
  })
}
