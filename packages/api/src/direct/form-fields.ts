import { UploadMetadata } from '@millrace/shared/uploads/upload.ts'
import { Compile } from 'typebox/compile'
import { findWrongText } from '../requests/checked-text.ts'
import { invalidForm } from './form-parts.ts'
import type { FormFile } from './read-form.ts'

/** Fields that announce the file. */
const announcing: ReadonlySet<string> = new Set(['preset', 'sha256', 'metadata'])
/** Fields in which libraries say of how many pieces this request is one: Dropzone, resumable.js, flow.js, Plupload, Fine Uploader. */
const pieceCounts = ['dztotalchunkcount', 'resumableTotalChunks', 'flowTotalChunks', 'chunks', 'qqtotalparts']

const metadataValidator = Compile(UploadMetadata)

/**
 * Returns what the text fields before a file say of it: `preset`, `sha256` and `metadata`, as text, and in `extra` the metadata
 * that other fields become, as in tus. Fields that cannot be metadata are ignored, because pages add fields of their own: names
 * such as `_token` or `tags[]`, values of more than 256 characters, empty values.
 *
 * @throws AppError `invalid_request` if the file is a piece of one
 */
export function readFormFields({ fields, field, filename, contentType }: FormFile): {
  announced: Record<string, string>
  extra: Record<string, string>
} {
  const piece = pieceCounts.find((name) => Number(fields.get(name)) > 1)
  if (piece !== undefined) {
    throw invalidForm(
      `The file is one of several pieces (field "${piece}"): send it whole, or in pieces by tus or \`POST /uploads\`.`,
    )
  }
  const announced: Record<string, string> = {}
  const extra: Record<string, string> = {}
  for (const [name, value] of fields) {
    if (announcing.has(name)) announced[name] = value
    // FilePond sends its metadata as JSON in a field with the name of the file's.
    else if (name === field) Object.assign(extra, metadataOfJson(value))
    else if (!repeatsFile(name, value) && isMetadata(name, value)) extra[name] = value
  }
  return { announced, extra }

  /** Uppy sends these fields with each file. */
  function repeatsFile(name: string, value: string): boolean {
    return (
      (name === 'name' && value === filename) ||
      (name === 'type' && value === contentType) ||
      (name === 'relativePath' && value === 'null')
    )
  }
}

function metadataOfJson(text: string): Record<string, string> {
  const entries = Object.entries(parseObject(text)).flatMap(([name, value]) => {
    if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') return []
    return isMetadata(name, String(value)) ? [[name, String(value)] as const] : []
  })
  return Object.fromEntries(entries)
}

function parseObject(text: string): object {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : {}
  } catch {
    return {}
  }
}

function isMetadata(name: string, value: string): boolean {
  return value !== '' && metadataValidator.Check({ [name]: value }) && !findWrongText(value)
}
