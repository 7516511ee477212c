import { errorCatalogue } from '@millrace/shared/service/app-error.ts'
import { UserId } from '@millrace/shared/uploads/owner.ts'
import {
  Upload,
  type UploadError,
  type Upload as UploadRecord,
  Variant,
} from '@millrace/shared/uploads/upload.ts'
import type { StoredUpload } from '@millrace/shared/uploads/upload-records.ts'
import Type, { type Static } from 'typebox'

const { intent, findings } = Upload.properties

const VariantView = Type.Object(
  {
    name: Type.String(),
    url: Type.String({
      description: 'path on this origin, with that of PUBLIC_ORIGIN; redirects to a signed URL',
    }),
    contentType: Type.String(),
    width: Type.Integer({ description: 'pixels' }),
    height: Type.Integer({ description: 'pixels' }),
    size: Type.Integer({ description: 'bytes' }),
    sha256: Variant.properties.sha256,
  },
  { title: 'Variant' },
)

/** Why an upload is not `ready`: a code of the error catalogue, and a sentence for people. */
const UploadErrorView = Type.Object(
  { code: Type.Enum(Object.keys(errorCatalogue), { title: 'ErrorCode' }), message: Type.String() },
  { title: 'UploadError' },
)

/** An upload, as its owner sees it. */
export const UploadView = Type.Object(
  {
    id: Upload.properties.id,
    state: Upload.properties.state,
    user: Type.Optional(UserId),
    filename: intent.properties.filename,
    contentType: intent.properties.contentType,
    detectedType: findings.properties.detectedType,
    size: intent.properties.size,
    sha256: findings.properties.sha256,
    width: findings.properties.width,
    height: findings.properties.height,
    frames: findings.properties.frames,
    pages: findings.properties.pages,
    durationMs: findings.properties.durationMs,
    rotation: findings.properties.rotation,
    videoCodec: findings.properties.videoCodec,
    audioCodec: findings.properties.audioCodec,
    placeholder: findings.properties.placeholder,
    dominantColor: findings.properties.dominantColor,
    perceptualHash: findings.properties.perceptualHash,
    warnings: findings.properties.warnings,
    preset: intent.properties.preset,
    metadata: intent.properties.metadata,
    variants: Type.Array(VariantView),
    error: Type.Optional(UploadErrorView),
    createdAt: Upload.properties.createdAt,
    updatedAt: Upload.properties.updatedAt,
    expiresAt: Upload.properties.expiresAt,
  },
  { title: 'Upload' },
)
export type UploadView = Static<typeof UploadView>

/**
 * Creates the function that converts a record to the view of its owner, without keys, etags and other internal fields. Its
 * `user` is the tenant's user that the owner is; undefined: it is none.
 *
 * @param publicPath the path under which clients reach the API; empty if it has an origin for itself
 */
export function createViewUpload(publicPath: string) {
  return (upload: UploadRecord, user: string | undefined) => viewUpload(upload, user, publicPath)
}

export type ViewUpload = ReturnType<typeof createViewUpload>

function viewUpload(upload: UploadRecord, user: string | undefined, publicPath: string): UploadView {
  const { id, state, intent, findings, createdAt, updatedAt } = upload
  return {
    id,
    state,
    ...(user !== undefined && { user }),
    filename: intent.filename,
    contentType: intent.contentType,
    size: upload.arrival?.size ?? intent.size,
    preset: intent.preset,
    ...(intent.metadata && { metadata: intent.metadata }),
    ...findings,
    variants: upload.variants.map(({ name, contentType, width, height, size, sha256 }) => ({
      name,
      url: `${publicPath}/uploads/${id}/variants/${name}`,
      contentType,
      width,
      height,
      size,
      ...(sha256 !== undefined && { sha256 }),
    })),
    ...(upload.error && { error: viewError(upload.error) }),
    createdAt,
    updatedAt,
    ...(upload.expiresAt && { expiresAt: upload.expiresAt }),
  }
}

/** A code that a newer version wrote is not in this version's catalogue. Its sentence still tells what happened. */
function viewError({ code, message }: UploadError): Static<typeof UploadErrorView> {
  return { code: Object.hasOwn(errorCatalogue, code) ? code : 'internal', message }
}

/** Returns an identifier of this version of the record: the `Last-Event-ID` of the upload's event stream. */
export function uploadVersion({ upload, revision }: StoredUpload): string {
  return `${Date.parse(upload.updatedAt)}-${revision}`
}
