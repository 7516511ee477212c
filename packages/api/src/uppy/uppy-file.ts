import { AppError } from '@millrace/shared/service/app-error.ts'
import type { UploadIntent } from '@millrace/shared/uploads/upload.ts'
import Type, { type Static } from 'typebox'
import { readAnnouncement } from '../uploads/announcement.ts'

/** A file as Uppy describes it to Companion, with the fields that the page has put into its `meta`. */
export const UppyFile = Type.Object({
  filename: Type.String(),
  type: Type.String(),
  metadata: Type.Record(
    Type.String(),
    Type.Union([Type.String(), Type.Number(), Type.Boolean(), Type.Null()]),
  ),
})
type UppyFile = Static<typeof UppyFile>

/** Fields that Uppy adds by itself. */
const ownFields = new Set(['name', 'type', 'relativePath'])
/** Fields of the announcement. All others are metadata of the upload. */
const announcedFields = new Set(['size', 'preset', 'sha256'])

/** Reads a file from Uppy's query: `filename`, `type`, and `metadata[…]` for each field of its `meta`. */
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
 * Reads the intent of a file from Uppy. `size`, `preset` and `sha256` are taken from its `meta`; its other fields become
 * metadata of the upload.
 *
 * @throws AppError `invalid_request`
 */
export function uppyIntent({ filename, type, metadata }: UppyFile): UploadIntent {
  const { size } = metadata
  if (size === undefined) {
    throw new AppError('invalid_request', {
      message: "Uppy does not tell the size by itself: put it into the file's meta, see docs/uppy.md.",
      fields: [{ field: 'metadata.size', message: 'is required' }],
    })
  }
  const fields = Object.entries(metadata).filter(([name, value]) => value !== null && !ownFields.has(name))
  const texts = fields.map(([name, value]) => [name, String(value)] as const)
  const rest = texts.filter(([name]) => !announcedFields.has(name))
  return readAnnouncement({
    ...Object.fromEntries(texts.filter(([name]) => announcedFields.has(name))),
    size: Number(size),
    filename,
    contentType: type || 'application/octet-stream',
    ...(rest.length > 0 && { metadata: Object.fromEntries(rest) }),
  })
}
