import { AppError } from '@millrace/shared/service/app-error.ts'

/** `Upload-Metadata`, decoded. A value is null if the client sent only the name. */
export type TusMetadata = Record<string, string | null>

/**
 * Longest `Upload-Metadata`, in bytes: it is stored with each open upload. Names of 255 characters fit three times, as Uppy
 * sends them: 255 characters have at most 1,360 bytes of base64.
 */
const limitBytes = 8192

/** Printable ASCII without space and comma (tus 1.0.0, "Upload-Metadata"). */
const namePattern = /^[!-+\--~]+$/
/** Base64 or base64url (RFC 4648, 4 and 5), with padding or without. */
const valuePattern = /^([A-Za-z0-9+/_-]*)={0,2}$/

/**
 * Reads `Upload-Metadata` and writes it in the form of tus 1.0.0: `name base64,name base64`. What clients send besides is
 * accepted where it has only one meaning: spaces around names and values, empty pairs, base64url, base64 without
 * padding, and a pair that comes twice.
 *
 * @returns the header, an empty string for no metadata. The bytes of values are those that the client sent
 * @throws AppError `invalid_request` that tells which pair is wrong and why; also if the header is too long
 */
export function normalizeMetadata(header: string): string {
  if (Buffer.byteLength(header, 'latin1') > limitBytes) {
    throw refusal(`is longer than ${limitBytes} bytes`, limitBytes)
  }
  const pairs = new Map<string, string>()
  for (const [index, text] of header.split(',').entries()) {
    const [name, value = '', ...rest] = text.split(/[ \t]+/).filter(Boolean)
    if (name === undefined) continue
    if (!namePattern.test(name)) throw refusal(`has a name that is not ASCII: pair ${index + 1}`)
    const pair = `pair ${index + 1}, ${name}`
    if (rest.length > 0) throw refusal(`has more than a name and a value between two commas: ${pair}`)
    const digits = valuePattern.exec(value)?.[1]
    // Four digits have three bytes; a single digit that is left has less than one byte.
    if (digits === undefined || digits.length % 4 === 1)
      throw refusal(`has a value that is not base64: ${pair}`)
    // Node reads base64url too.
    const base64 = Buffer.from(digits, 'base64').toString('base64')
    const earlier = pairs.get(name)
    if (earlier !== undefined && earlier !== base64) throw refusal(`has several values for one name: ${pair}`)
    pairs.set(name, base64)
  }
  return [...pairs].map(([name, value]) => (value === '' ? name : `${name} ${value}`)).join(',')
}

/** Decodes a header that `normalizeMetadata` returned. */
export function parseMetadata(header: string): TusMetadata {
  if (header === '') return {}
  return Object.fromEntries(
    header.split(',').map((pair) => {
      const [name = '', value] = pair.split(' ')
      return [name, value === undefined ? null : Buffer.from(value, 'base64').toString()]
    }),
  )
}

/** Writes metadata as a header. */
export function formatMetadata(metadata: TusMetadata): string {
  return Object.entries(metadata)
    .map(([name, value]) => (value ? `${name} ${Buffer.from(value).toString('base64')}` : name))
    .join(',')
}

function refusal(problem: string, limit?: number): AppError {
  return new AppError('invalid_request', {
    message: `Upload-Metadata ${problem}.`,
    fields: [{ field: 'upload-metadata', message: problem }],
    ...(limit !== undefined && { limit }),
  })
}
