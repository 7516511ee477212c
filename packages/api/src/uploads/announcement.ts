import { defaultPreset } from '@millrace/shared/presets/preset.ts'
import { intentFields } from '@millrace/shared/uploads/intent-fields.ts'
import type { UploadIntent } from '@millrace/shared/uploads/upload.ts'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { validationError } from '../http/validation.ts'

const UnsizedAnnouncement = Type.Object(intentFields, { additionalProperties: false })

/** A file that the client will send. */
export const Announcement = Type.Object(
  {
    ...intentFields,
    size: Type.Integer({ minimum: 1, description: 'bytes' }),
  },
  { title: 'Announcement', additionalProperties: false },
)

const announcement = Compile(Announcement)
const unsizedAnnouncement = Compile(UnsizedAnnouncement)

/** Returns the intent of an announcement: with our names, and the default preset if none is named. */
export function toIntent<Announced extends Static<typeof UnsizedAnnouncement>>(announced: Announced) {
  const { preset, sha256, ...rest } = announced
  return { ...rest, preset: preset ?? defaultPreset.name, ...(sha256 && { declaredSha256: sha256 }) }
}

/**
 * Reads an announcement that did not come as the body of a request.
 *
 * @param fields the fields of `Announcement`; a missing field is absent rather than undefined
 * @throws AppError `invalid_request` with the names of the invalid fields
 */
export function readAnnouncement(fields: Record<string, unknown>): UploadIntent {
  if (!announcement.Check(fields)) throw validationError(announcement.Errors(fields))
  return toIntent(fields)
}

/**
 * Reads the announcement of a file whose size comes from elsewhere.
 *
 * @param fields as in `readAnnouncement`, without `size`
 * @throws AppError `invalid_request` with the names of the invalid fields
 */
export function readUnsizedAnnouncement(fields: Record<string, unknown>): Omit<UploadIntent, 'size'> {
  if (!unsizedAnnouncement.Check(fields)) throw validationError(unsizedAnnouncement.Errors(fields))
  return toIntent(fields)
}
