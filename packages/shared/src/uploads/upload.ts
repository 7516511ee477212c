import Type, { type Static } from 'typebox'
import { PresetName } from '../presets/preset.ts'
import { errorCatalogue } from '../service/app-error.ts'
import { Owner } from './owner.ts'
import { UploadId } from './upload-id.ts'

/** How long an upload in parts may stay open, in ms: a client may come back days later. */
export const openUploadLifeMs = 7 * 24 * 60 * 60 * 1000

/**
 * How long S3 keeps an erasure marker, in ms: the time that other regions have to read it. S3 keeps a marker that it
 * has not copied yet for longer.
 */
export const erasureMarkerLifeMs = 30 * 24 * 60 * 60 * 1000

const Timestamp = Type.String({ description: 'ISO 8601, UTC' })
const Pixels = Type.Integer({ minimum: 1, description: 'pixels' })
const Bytes = Type.Integer({ minimum: 0, description: 'bytes' })

/**
 * `awaiting` (announced, bytes not here yet) → `received` (S3 has them) → `processing` → one of the ends:
 * `ready`, `rejected` (the file's fault, final) or `failed` (ours, after retries; can be tried again).
 */
export const UploadState = Type.Union(
  [
    Type.Literal('awaiting'),
    Type.Literal('received'),
    Type.Literal('processing'),
    Type.Literal('ready'),
    Type.Literal('rejected'),
    Type.Literal('failed'),
  ],
  { title: 'UploadState' },
)
export type UploadState = Static<typeof UploadState>

/** Why an upload ended otherwise than `ready`: a code of the error catalogue, and a sentence for people. */
export const UploadError = Type.Object(
  { code: Type.Enum(Object.keys(errorCatalogue), { title: 'ErrorCode' }), message: Type.String() },
  { title: 'UploadError' },
)
export type UploadError = Static<typeof UploadError>

/** Free notes that the client gave to its upload: kept with the original in S3, returned as they came. */
export const UploadMetadata = Type.Record(
  Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$' }),
  Type.String({ maxLength: 256 }),
  { additionalProperties: false },
)
export type UploadMetadata = Static<typeof UploadMetadata>

/** One variant as it lies in S3. */
export const Variant = Type.Object({
  name: PresetName,
  key: Type.String({ description: 'object key' }),
  contentType: Type.String(),
  width: Pixels,
  height: Pixels,
  size: Bytes,
})
export type Variant = Static<typeof Variant>

/** What the client announced. All of it travels as metadata of the original, so S3 alone can give it back. */
export const UploadIntent = Type.Object({
  filename: Type.String(),
  contentType: Type.String({ description: 'as declared by the client; never trusted' }),
  size: Bytes,
  preset: PresetName,
  metadata: Type.Optional(UploadMetadata),
  declaredSha256: Type.Optional(Type.String({ description: '64 hex digits' })),
  traceparent: Type.Optional(Type.String({ description: 'W3C Trace Context' })),
})
export type UploadIntent = Static<typeof UploadIntent>

/** The bytes that S3 has. They are named by their etag: other bytes under the same key are another arrival. */
export const Arrival = Type.Object({
  etag: Type.String({ description: 'as S3 gives it, without quotes' }),
  versionId: Type.Optional(Type.String({ description: 'where the bucket is versioned' })),
  size: Bytes,
})
export type Arrival = Static<typeof Arrival>

/**
 * Whether two arrivals are of the same bytes. A copy in another region's bucket has the version of what it was copied
 * from, but may have an etag of its own: under KMS that is no hash of the bytes (S3 User Guide, "Replicating encrypted
 * objects").
 */
export function hasSameBytes(one: Arrival, other: Arrival): boolean {
  const isSameVersion = one.versionId !== undefined && one.versionId === other.versionId
  return isSameVersion || one.etag === other.etag
}

/** Whether two arrivals are one: the same bytes, sent once. */
export function isSameArrival(one: Arrival, other: Arrival): boolean {
  return one.versionId === other.versionId && hasSameBytes(one, other)
}

/** What inspection and rendering found and made. Empty but for `sha256` where the file is not an image. */
export const Findings = Type.Object({
  detectedType: Type.Optional(Type.String({ description: 'media type by the bytes themselves' })),
  sha256: Type.Optional(Type.String({ description: '64 hex digits' })),
  width: Type.Optional(Pixels),
  height: Type.Optional(Pixels),
  placeholder: Type.Optional(Type.String({ description: 'thumbhash, base64' })),
})
export type Findings = Static<typeof Findings>

/** The multipart upload that S3 has open for an awaiting upload. */
export const OpenMultipart = Type.Object({
  uploadId: Type.String({ description: "S3's own id of the multipart upload" }),
  partSize: Bytes,
  partCount: Type.Integer({ minimum: 1, maximum: 10_000 }),
})
export type OpenMultipart = Static<typeof OpenMultipart>

/** What is known of a tus upload that is under way. What it has of its bytes, S3 says. */
export const TusState = Type.Object({
  metadata: Type.String({ description: "the client's Upload-Metadata, as it came" }),
  multipartId: Type.Optional(
    Type.String({ description: "S3's own id of the multipart upload, if there is one" }),
  ),
  trustedParts: Type.Optional(
    Type.Integer({ minimum: 0, description: 'parts above this number have not passed their checksum' }),
  ),
})
export type TusState = Static<typeof TusState>

/**
 * Where a worker is to fetch the file of an awaiting upload, and what the client said of it; the source fills
 * in the rest. The URL may open what it names to anybody: it is in the record alone, is never shown, and goes
 * as soon as it is not needed any more.
 */
export const UploadSource = Type.Object({
  url: Type.String(),
  filename: Type.Optional(Type.String()),
  contentType: Type.Optional(Type.String()),
  size: Type.Optional(Bytes),
})
export type UploadSource = Static<typeof UploadSource>

/**
 * The record of an upload, as Redis keeps it. It is a cache: the manifest, or else the original's metadata,
 * can give all of it back.
 */
export const Upload = Type.Object({
  id: UploadId,
  owner: Owner,
  state: UploadState,
  intent: UploadIntent,
  multipart: Type.Optional(OpenMultipart),
  source: Type.Optional(UploadSource),
  tus: Type.Optional(TusState),
  arrival: Type.Optional(Arrival),
  findings: Findings,
  variants: Type.Array(Variant),
  error: Type.Optional(UploadError),
  createdAt: Timestamp,
  updatedAt: Timestamp,
  expiresAt: Type.Optional(Timestamp),
})
export type Upload = Static<typeof Upload>

/** Whether an upload has come to its end (a failed one may still be tried again). */
export function isFinished(upload: Upload): boolean {
  return upload.state === 'ready' || upload.state === 'rejected' || upload.state === 'failed'
}
