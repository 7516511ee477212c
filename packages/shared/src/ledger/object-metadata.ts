import Type from 'typebox'
import { Compile } from 'typebox/compile'
import { PresetName } from '../presets/preset.ts'
import { type UploadIntent, UploadMetadata } from '../uploads/upload.ts'

/**
 * S3 takes 2 KB of user metadata with an object, names and values together
 * (S3 API, "Working with object metadata").
 */
export const objectMetadataLimitBytes = 2048

const presetName = Compile(PresetName)
const uploadMetadata = Compile(UploadMetadata)
const sha256 = Compile(Type.String({ pattern: '^[0-9a-f]{64}$' }))
const traceparent = Compile(Type.String({ pattern: '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$' }))

/**
 * The user metadata (`x-amz-meta-*`, names without that prefix) that carries an intent with its original.
 * Values are percent-encoded, since headers carry ASCII only. Size and content type are S3's own fields.
 */
export function toObjectMetadata(intent: UploadIntent): Record<string, string> {
  const metadata: Record<string, string> = {
    filename: encodeURIComponent(intent.filename),
    preset: intent.preset,
  }
  if (intent.metadata) metadata['notes'] = encodeURIComponent(JSON.stringify(intent.metadata))
  if (intent.declaredSha256) metadata['sha256'] = intent.declaredSha256
  if (intent.traceparent) metadata['traceparent'] = intent.traceparent
  return metadata
}

/** How much of S3's allowance a set of user metadata takes, in bytes, counted as S3 counts it. */
export function objectMetadataBytes(metadata: Record<string, string>): number {
  let bytes = 0
  for (const [name, value] of Object.entries(metadata))
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value)
  return bytes
}

/**
 * Reads an intent back from its original. An object that somebody put there without us has no metadata, or
 * strange ones: whatever does not fit is left out, and the upload goes on with what is known.
 *
 * @param object what S3 says of the object: content type, size in bytes, user metadata
 * @param fallback what stands in for what is missing
 */
export function fromObjectMetadata(
  object: { contentType: string | undefined; size: number; metadata: Record<string, string> },
  fallback: { filename: string; preset: string },
): UploadIntent {
  const { metadata } = object
  const notes: unknown = parseJson(decode(metadata['notes']))
  return {
    filename: decode(metadata['filename']) || fallback.filename,
    contentType: object.contentType ?? 'application/octet-stream',
    size: object.size,
    preset: presetName.Check(metadata['preset']) ? metadata['preset'] : fallback.preset,
    ...(uploadMetadata.Check(notes) && { metadata: notes }),
    ...(sha256.Check(metadata['sha256']) && { declaredSha256: metadata['sha256'] }),
    ...(traceparent.Check(metadata['traceparent']) && { traceparent: metadata['traceparent'] }),
  }
}

function decode(value: string | undefined): string {
  try {
    return decodeURIComponent(value ?? '')
  } catch {
    // A value that was not written by us: not percent-encoded, so it says nothing we could trust.
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
