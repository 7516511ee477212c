import { AppError } from '@millrace/shared/service/app-error.ts'
import { type Upload, UploadMetadata, UploadState } from '@millrace/shared/uploads/upload.ts'
import { largestUploadIdOf, smallestUploadId } from '@millrace/shared/uploads/upload-id.ts'
import Type, { type Static } from 'typebox'
import Format from 'typebox/format'

/** How many fields of the metadata a request may compare. */
const maxMetadataFields = 10

const Time = (description: string) =>
  Type.String({
    maxLength: 40,
    description: `${description}. ISO 8601: a time with its offset, or a day in UTC`,
  })

/** Which uploads are meant, by their records. All conditions must be true. */
export const filterFields = {
  state: Type.Optional(
    Type.Array(UploadState, { minItems: 1, maxItems: 6, description: 'one of these states' }),
  ),
  prefix: Type.Optional(
    Type.String({ minLength: 1, maxLength: 255, description: 'what the filename begins with' }),
  ),
  metadata: Type.Optional({
    ...UploadMetadata,
    maxProperties: maxMetadataFields,
    description: `up to ${maxMetadataFields} fields of the metadata, with their exact values`,
  }),
  from: Type.Optional(Time('created at this time or later')),
  to: Type.Optional(Time('created before this time')),
}
const UploadFilter = Type.Object(filterFields)
export type UploadFilter = Static<typeof UploadFilter>

/** By time of creation. */
export const ListOrder = Type.Union([Type.Literal('newest'), Type.Literal('oldest')])
export type ListOrder = Static<typeof ListOrder>

/** Bounds of ids. Both are excluded; undefined: no bound. */
export type IdRange = { after: string | undefined; before: string | undefined }

/**
 * Returns the ids of a filter's times. Ids begin with the time of creation, so a range costs no lookups.
 * @throws AppError `invalid_request` if a time is none, or `from` is not before `to`
 */
export function idRangeOf({ from, to }: Pick<UploadFilter, 'from' | 'to'>): IdRange {
  const fromMs = from === undefined ? undefined : parseTime('from', from)
  const toMs = to === undefined ? undefined : parseTime('to', to)
  if (fromMs !== undefined && toMs !== undefined && fromMs >= toMs) throw invalid('from', 'must be before to')
  return {
    after: fromMs === undefined || fromMs <= 0 ? undefined : largestUploadIdOf(fromMs - 1),
    before: toMs === undefined ? undefined : smallestUploadId(Math.max(0, toMs)),
  }
}

/** Whether a filter looks at records, not only at times. */
export function readsRecords({ state, prefix, metadata }: UploadFilter): boolean {
  return state !== undefined || prefix !== undefined || metadata !== undefined
}

/** Whether an upload matches a filter. Its time is not compared: see `idRangeOf`. */
export function matchesFilter({ state, intent }: Upload, filter: UploadFilter): boolean {
  if (filter.state && !filter.state.includes(state)) return false
  // Programs write the same letter in several forms: macOS sends names decomposed, browsers send what was typed.
  if (filter.prefix && !intent.filename.normalize().startsWith(filter.prefix.normalize())) return false
  return Object.entries(filter.metadata ?? {}).every(([name, value]) => {
    const { metadata = {} } = intent
    return Object.hasOwn(metadata, name) && metadata[name] === value
  })
}

/**
 * Brings a query into the form of its schema: `state` as a list, repeated or with commas, and each `metadata[name]` as a
 * field of `metadata`.
 */
export function readFilterQuery(query: unknown): Record<string, unknown> {
  const read: Record<string, unknown> = {}
  const metadata: [string, unknown][] = []
  for (const [name, value] of Object.entries(query ?? {})) {
    const [, field] = /^metadata\[(.*)\]$/.exec(name) ?? []
    if (field !== undefined) metadata.push([field, value])
    else read[name] = name === 'state' ? [value].flat().flatMap((text) => String(text).split(',')) : value
  }
  // A plain `metadata` is no object, and stays to be refused.
  if (metadata.length > 0) read['metadata'] ??= Object.fromEntries(metadata)
  return read
}

function parseTime(field: string, text: string): number {
  const timeMs = Format.IsDate(text) || Format.IsDateTime(text) ? Date.parse(text) : Number.NaN
  // The largest time of an id: 48 bits.
  if (Number.isNaN(timeMs) || timeMs >= 2 ** 48) {
    throw invalid(field, 'must be a time, such as 2026-11-23T09:30:00Z, or a day, such as 2026-11-23')
  }
  return timeMs
}

function invalid(field: string, message: string): AppError {
  return new AppError('invalid_request', {
    message: `${field} ${message}.`,
    fields: [{ field, message }],
  })
}
