import Type from 'typebox'
import { Compile } from 'typebox/compile'
import { PresetName } from '../presets/preset.ts'
import { isTraceparent } from '../tracing/traceparent.ts'
import { type UploadIntent, UploadMetadata } from '../uploads/upload.ts'

/**
 * S3 accepts at most 2 KB of user metadata for an object, names and values together
 * (S3 API, "Working with object metadata").
 */
export const objectMetadataLimitBytes = 2048

const presetName = Compile(PresetName)
const uploadMetadata = Compile(UploadMetadata)
const sha256 = Compile(Type.String({ pattern: '^[0-9a-f]{64}$' }))

/** Begins a value in UTF-16. `encodeURIComponent` never leaves a comma. */
const utf16Prefix = 'utf16,'

/**
 * Returns the object metadata that stores an intent with its original (`x-amz-meta-*`, names without that
 * prefix). Headers are ASCII only, so values are percent-encoded. If S3 would not accept them, those become base64 of UTF-16
 * that are shorter so: a name of 255 Chinese characters takes 2,295 bytes the one way and 686 the other. Earlier versions
 * read percent-encoding only, and accepted nothing that does not fit in it.
 *
 * Size and content type are fields of S3 itself. The upload's metadata is stored under the name `notes`.
 */
export function toObjectMetadata(intent: UploadIntent): Record<string, string> {
  const metadata = encodeIntent(intent, encodeURIComponent)
  if (fits(metadata)) return metadata
  const shortest = encodeIntent(intent, encodeShortest)
  if (fits(shortest)) return shortest
  // A trace must not be the reason why a file is refused.
  const { traceparent: _, ...untraced } = shortest
  return untraced
}

function fits(metadata: Record<string, string>): boolean {
  return objectMetadataBytes(metadata) <= objectMetadataLimitBytes
}

/** Returns the least number of bytes that an intent takes as object metadata. */
export function leastMetadataBytes(intent: UploadIntent): number {
  return objectMetadataBytes(encodeIntent(intent, encodeShortest))
}

function encodeIntent(intent: UploadIntent, encode: (text: string) => string): Record<string, string> {
  const metadata: Record<string, string> = {
    filename: encode(intent.filename),
    preset: intent.preset,
  }
  if (intent.metadata) metadata['notes'] = encode(JSON.stringify(intent.metadata))
  if (intent.declaredSha256) metadata['sha256'] = intent.declaredSha256
  if (intent.traceparent) metadata['traceparent'] = intent.traceparent
  if (intent.stamped) metadata['stamped'] = intent.stamped.join(',')
  if (intent.accept) metadata['accept'] = intent.accept.join(',')
  return metadata
}

function encodeShortest(text: string): string {
  const escaped = encodeURIComponent(text)
  const utf16 = utf16Prefix + Buffer.from(text, 'utf16le').toString('base64')
  return escaped.length <= utf16.length ? escaped : utf16
}

/** Returns the size of object metadata in bytes, as S3 counts it for its limit. */
export function objectMetadataBytes(metadata: Record<string, string>): number {
  let bytes = 0
  for (const [name, value] of Object.entries(metadata))
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value)
  return bytes
}

/**
 * Reads an intent from its original. An object that another program wrote may have no metadata, or metadata
 * in another form. Invalid values are ignored, and the upload continues with the valid ones.
 *
 * @param object the object's content type, size in bytes and metadata in S3
 * @param fallback used if the object has no valid filename or preset
 */
export function fromObjectMetadata(
  object: { contentType: string | undefined; size: number; metadata: Record<string, string> },
  fallback: { filename: string; preset: string },
): UploadIntent {
  const { metadata } = object
  const intentMetadata: unknown = parseJson(decode(metadata['notes']))
  return {
    filename: decode(metadata['filename']) || fallback.filename,
    contentType: object.contentType ?? 'application/octet-stream',
    size: object.size,
    preset: presetName.Check(metadata['preset']) ? metadata['preset'] : fallback.preset,
    ...(uploadMetadata.Check(intentMetadata) && { metadata: intentMetadata }),
    ...(sha256.Check(metadata['sha256']) && { declaredSha256: metadata['sha256'] }),
    ...(isTraceparent(metadata['traceparent']) && { traceparent: metadata['traceparent'] }),
    ...(metadata['stamped'] && { stamped: metadata['stamped'].split(',') }),
    ...(metadata['accept'] && { accept: metadata['accept'].split(',') }),
  }
}

function decode(value: string | undefined): string {
  if (value?.startsWith(utf16Prefix)) {
    const text = Buffer.from(value.slice(utf16Prefix.length), 'base64').toString('utf16le')
    return text.isWellFormed() ? text : ''
  }
  try {
    return decodeURIComponent(value ?? '')
  } catch {
    // Neither form, so Millrace did not write it.
    return ''
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
