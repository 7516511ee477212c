import Type, { type Static } from 'typebox'
import { PresetName } from '../presets/preset.ts'
import { Owner } from './owner.ts'
import { UploadId } from './upload-id.ts'

/** How long an upload in parts may stay open, in ms. A client may resume days later. */
export const openUploadLifeMs = 7 * 24 * 60 * 60 * 1000

/** How long after an upload expired a request that began in time may still complete it, in ms. */
export const arrivalGraceMs = 60 * 60 * 1000

/**
 * How long S3 keeps an erasure marker, in ms: the time that other regions have to read it. S3 keeps a marker that it
 * has not copied yet for longer.
 */
export const erasureMarkerLifeMs = 30 * 24 * 60 * 60 * 1000

const Timestamp = Type.String({ description: 'ISO 8601, UTC' })
const Pixels = Type.Integer({ minimum: 1, description: 'pixels' })
const Bytes = Type.Integer({ minimum: 0, description: 'bytes' })

/**
 * `awaiting` (announced, no bytes yet) → `received` (S3 has the bytes) → `processing` → a final state: `ready`,
 * `rejected` (the file's fault) or `failed` (our fault, after all attempts; can be retried).
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

/** Why an upload is not `ready`: a code, and a sentence for people. */
export const UploadError = Type.Object({
  code: Type.String({
    description: 'of the error catalogue; a newer version may have written a code of its own',
  }),
  message: Type.String(),
})
export type UploadError = Static<typeof UploadError>

/** The client's own name and value pairs. They are stored with the original in S3 and returned unchanged. */
export const UploadMetadata = Type.Record(
  Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$' }),
  Type.String({ maxLength: 256 }),
  { additionalProperties: false },
)
export type UploadMetadata = Static<typeof UploadMetadata>

/** A variant in S3. */
export const Variant = Type.Object({
  name: PresetName,
  key: Type.String({ description: 'object key' }),
  contentType: Type.String(),
  width: Pixels,
  height: Pixels,
  size: Bytes,
  sha256: Type.Optional(
    Type.String({ description: '64 hex digits; unknown for variants of earlier versions' }),
  ),
})
export type Variant = Static<typeof Variant>

/** What the client announced. It is stored as the original's object metadata, so it can be read back from S3. */
export const UploadIntent = Type.Object({
  filename: Type.String(),
  contentType: Type.String({ description: 'declared by the client; never trusted' }),
  size: Bytes,
  preset: PresetName,
  metadata: Type.Optional(UploadMetadata),
  declaredSha256: Type.Optional(Type.String({ description: '64 hex digits' })),
  traceparent: Type.Optional(Type.String({ description: 'W3C Trace Context' })),
  stamped: Type.Optional(
    Type.Array(Type.String(), { description: 'names of metadata that an upload token set' }),
  ),
  accept: Type.Optional(
    Type.Array(Type.String(), {
      description: 'types that the upload token accepts, as in a preset; they are detected from the bytes',
    }),
  ),
})
export type UploadIntent = Static<typeof UploadIntent>

/**
 * What was changed of an intent since it was announced. It is an object of its own in S3, because object metadata cannot be
 * changed, and takes precedence over what the original and the manifest say.
 */
export const UploadEdit = Type.Object({
  revision: Type.Integer({ minimum: 1, description: 'rises with each change' }),
  filename: Type.Optional(Type.String()),
  metadata: Type.Optional(UploadMetadata),
})
export type UploadEdit = Static<typeof UploadEdit>

/** The bytes in S3, identified by their etag. Other bytes under the same key are another arrival. */
export const Arrival = Type.Object({
  etag: Type.String({ description: 'as returned by S3, without quotes' }),
  versionId: Type.Optional(Type.String({ description: 'if the bucket is versioned' })),
  size: Bytes,
})
export type Arrival = Static<typeof Arrival>

/**
 * Whether two arrivals have the same bytes. A copy in another region's bucket keeps the version of its source but may
 * have another etag: under KMS an etag is not a hash of the bytes (S3 User Guide, "Replicating encrypted objects").
 */
export function hasSameBytes(one: Arrival, other: Arrival): boolean {
  const isSameVersion = one.versionId !== undefined && one.versionId === other.versionId
  return isSameVersion || one.etag === other.etag
}

/** Whether two arrivals are the same: the same bytes, sent once. */
export function isSameArrival(one: Arrival, other: Arrival): boolean {
  return one.versionId === other.versionId && hasSameBytes(one, other)
}

/** Results of inspection. Only `sha256` is set if the file type is unknown. */
export const Findings = Type.Object({
  detectedType: Type.Optional(Type.String({ description: 'media type detected from the bytes' })),
  sha256: Type.Optional(Type.String({ description: '64 hex digits' })),
  width: Type.Optional(Pixels),
  height: Type.Optional(Pixels),
  frames: Type.Optional(Type.Integer({ minimum: 2, description: 'frames of an animation' })),
  pages: Type.Optional(Type.Integer({ minimum: 1, description: 'pages of a document' })),
  durationMs: Type.Optional(Type.Integer({ minimum: 0, description: 'of video or audio, in ms' })),
  rotation: Type.Optional(
    Type.Integer({
      description: 'of a video: degrees clockwise by which players turn it; 0, 90, 180 or 270',
    }),
  ),
  videoCodec: Type.Optional(Type.String({ description: 'such as avc, hevc, vp9, av1' })),
  audioCodec: Type.Optional(Type.String({ description: 'such as aac, opus, mp3, flac' })),
  placeholder: Type.Optional(Type.String({ description: 'thumbhash, base64' })),
  dominantColor: Type.Optional(Type.String({ description: 'sRGB, such as #aa7733' })),
  perceptualHash: Type.Optional(
    Type.String({ description: '64 bits as 16 hex digits; similar pictures differ in few bits' }),
  ),
  warnings: Type.Optional(
    Type.Array(Type.String(), { description: 'what is odd about a file that is whole, one sentence each' }),
  ),
})
export type Findings = Static<typeof Findings>

/** The open S3 multipart upload of an awaiting upload. */
export const OpenMultipart = Type.Object({
  uploadId: Type.String({ description: "S3's id of the multipart upload" }),
  partSize: Bytes,
  partCount: Type.Integer({ minimum: 1, maximum: 10_000 }),
})
export type OpenMultipart = Static<typeof OpenMultipart>

/** State of an open tus upload. Its offset is read from S3. */
export const TusState = Type.Object({
  metadata: Type.String({ description: "the client's Upload-Metadata, unchanged" }),
  multipartId: Type.Optional(
    Type.String({ description: "S3's id of the multipart upload, if there is one" }),
  ),
  trustedParts: Type.Optional(
    Type.Integer({ minimum: 0, description: 'parts above this number failed their checksum' }),
  ),
  unsized: Type.Optional(
    Type.Object(
      {
        maxBytes: Type.Optional(
          Type.Integer({ minimum: 1, description: 'limit of the upload token, in bytes' }),
        ),
      },
      { description: 'exists until the client declares the length; until then the size is 0' },
    ),
  ),
})
export type TusState = Static<typeof TusState>

/**
 * The source of an import, and the fields that the client declared. The source's response provides the others. The URL
 * may contain a secret. It is stored only in the record, never shown, and removed when it is no longer needed.
 */
export const UploadSource = Type.Object({
  url: Type.String(),
  filename: Type.Optional(Type.String()),
  contentType: Type.Optional(Type.String()),
  size: Type.Optional(Bytes),
  maxBytes: Type.Optional(Type.Integer({ minimum: 1, description: 'limit of the upload token, in bytes' })),
})
export type UploadSource = Static<typeof UploadSource>

/**
 * The record of an upload in Redis. It is a cache: it can be rebuilt from the manifest, or else from the original's
 * metadata.
 */
export const Upload = Type.Object({
  id: UploadId,
  owner: Owner,
  state: UploadState,
  intent: UploadIntent,
  edit: Type.Optional(UploadEdit),
  multipart: Type.Optional(OpenMultipart),
  source: Type.Optional(UploadSource),
  tus: Type.Optional(TusState),
  token: Type.Optional(
    Type.String({ description: 'id of the upload token that counts the upload, as of a caller' }),
  ),
  arrival: Type.Optional(Arrival),
  findings: Findings,
  variants: Type.Array(Variant),
  error: Type.Optional(UploadError),
  createdAt: Timestamp,
  updatedAt: Timestamp,
  expiresAt: Type.Optional(Timestamp),
})
export type Upload = Static<typeof Upload>

/** Returns an upload whose intent has an edit. Undefined: the upload as it is. */
export function withEdit(upload: Upload, edit: UploadEdit | undefined): Upload {
  if (!edit) return upload
  const { metadata, ...intent } = upload.intent
  const { filename = intent.filename, metadata: edited = metadata } = edit
  const hasMetadata = edited !== undefined && Object.keys(edited).length > 0
  return { ...upload, edit, intent: { ...intent, filename, ...(hasMetadata && { metadata: edited }) } }
}

/** Returns the later one of two edits of an upload. */
export function laterEdit(
  one: UploadEdit | undefined,
  other: UploadEdit | undefined,
): UploadEdit | undefined {
  return (one?.revision ?? 0) >= (other?.revision ?? 0) ? one : other
}

/** Whether an upload's bytes have not arrived in time, and cannot arrive any more. @param nowMs ms since 1970 */
export function hasExpired({ state, expiresAt }: Upload, nowMs: number): boolean {
  return state === 'awaiting' && expiresAt !== undefined && Date.parse(expiresAt) + arrivalGraceMs < nowMs
}

/** Whether an upload is finished. A failed one can still be retried. */
export function isFinished(upload: Upload): boolean {
  return upload.state === 'ready' || upload.state === 'rejected' || upload.state === 'failed'
}
