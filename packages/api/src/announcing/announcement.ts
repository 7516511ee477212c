import { defaultPreset } from '@millrace/shared/presets/preset.ts'
import { storedType } from '@millrace/shared/uploads/content-type.ts'
import { intentFields } from '@millrace/shared/uploads/intent-fields.ts'
import type { UploadIntent } from '@millrace/shared/uploads/upload.ts'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { textError, validationError } from '../requests/validation.ts'

const fields = { ...intentFields, contentType: Type.Optional(intentFields.contentType) }

const UnsizedAnnouncement = Type.Object(fields, { additionalProperties: false })

/** A file that the client will send. */
export const Announcement = Type.Object(
  {
    ...fields,
    size: Type.Integer({ minimum: 0, description: 'bytes' }),
  },
  { title: 'Announcement', additionalProperties: false },
)

const announcementValidator = Compile(Announcement)
const unsizedValidator = Compile(UnsizedAnnouncement)

/** Converts an announcement to an intent. The preset is `default` if the announcement names none. */
export function toIntent<Announced extends Static<typeof UnsizedAnnouncement>>(announced: Announced) {
  const { preset, sha256, contentType, ...rest } = announced
  return {
    ...rest,
    contentType: storedType(contentType),
    preset: preset ?? defaultPreset.name,
    ...(sha256 && { declaredSha256: sha256.toLowerCase() }),
  }
}

/**
 * Reads an announcement that is not the body of a request.
 *
 * @param fields the fields of `Announcement`; a missing field is absent rather than undefined
 * @throws AppError `invalid_request` with the names of the invalid fields
 */
export function readAnnouncement(fields: Record<string, unknown>): UploadIntent {
  if (!announcementValidator.Check(fields)) throw validationError(announcementValidator.Errors(fields))
  checkText(fields)
  return toIntent(fields)
}

/**
 * Reads the announcement of a file whose size is not one of the fields.
 *
 * @param fields as in `readAnnouncement`, without `size`
 * @throws AppError `invalid_request` with the names of the invalid fields
 */
export function readUnsizedAnnouncement(fields: Record<string, unknown>): Omit<UploadIntent, 'size'> {
  if (!unsizedValidator.Check(fields)) throw validationError(unsizedValidator.Errors(fields))
  checkText(fields)
  return toIntent(fields)
}

function checkText(fields: object): void {
  const error = textError(fields)
  if (error) throw error
}
