import { defaultPreset } from '@millrace/shared/presets/preset.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { UploadIntent } from '@millrace/shared/uploads/upload.ts'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { validationError } from '../http/validation.ts'
import { Announcement } from '../uploads/upload-routes.ts'

const announcement = Compile(Announcement)

/** A file as Uppy describes it to Companion, with what the page has put into its `meta`. */
export const UppyFile = Type.Object({
  filename: Type.String(),
  type: Type.String(),
  metadata: Type.Record(
    Type.String(),
    Type.Union([Type.String(), Type.Number(), Type.Boolean(), Type.Null()]),
  ),
})
type UppyFile = Static<typeof UppyFile>

/** Fields of Uppy's own that the page has not put there. */
const ownFields = new Set(['name', 'type', 'relativePath'])
/** Fields that are no notes: they say of the file what `POST /uploads` is told. */
const announcedFields = new Set(['size', 'preset', 'sha256'])

/** Reads what Uppy says in a query: `filename`, `type`, and `metadata[…]` for each field of its `meta`. */
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
 * What is announced by a file of Uppy's. `size`, `preset` and `sha256` are taken out of its `meta`; the rest of
 * it is kept as the upload's notes.
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
  const given = Object.entries(metadata).filter(([name, value]) => value !== null && !ownFields.has(name))
  const texts = given.map(([name, value]) => [name, String(value)] as const)
  const announced: unknown = {
    ...Object.fromEntries(texts.filter(([name]) => announcedFields.has(name))),
    size: Number(size),
    filename,
    contentType: type || 'application/octet-stream',
    metadata: Object.fromEntries(texts.filter(([name]) => !announcedFields.has(name))),
  }
  if (!announcement.Check(announced)) throw validationError(announcement.Errors(announced))
  const { preset, sha256, metadata: notes = {}, ...rest } = announced
  return {
    ...rest,
    preset: preset ?? defaultPreset.name,
    ...(Object.keys(notes).length > 0 && { metadata: notes }),
    ...(sha256 !== undefined && { declaredSha256: sha256 }),
  }
}
