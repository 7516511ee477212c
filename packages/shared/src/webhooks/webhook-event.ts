import Type, { type Static } from 'typebox'
import { Findings, Upload, UploadError, UploadState, Variant } from '../uploads/upload.ts'
import { UploadId } from '../uploads/upload-id.ts'

/** What a webhook can be told of. */
export const WebhookEventType = Type.Union(
  [
    Type.Literal('upload.received'),
    Type.Literal('upload.ready'),
    Type.Literal('upload.rejected'),
    Type.Literal('upload.failed'),
    Type.Literal('upload.deleted'),
  ],
  { title: 'WebhookEventType' },
)
export type WebhookEventType = Static<typeof WebhookEventType>

const { intent } = Upload.properties

/** The upload, as it was when the event happened. After a deletion only `id`, `user` and `state` are certain. */
export const WebhookUpload = Type.Object({
  id: UploadId,
  user: Type.Optional(Type.String({ description: "the tenant's id of its user, if the upload is a user's" })),
  state: Type.Union([UploadState, Type.Literal('deleted')]),
  filename: Type.Optional(intent.properties.filename),
  contentType: Type.Optional(intent.properties.contentType),
  size: Type.Optional(Type.Integer({ minimum: 0, description: 'bytes' })),
  preset: Type.Optional(intent.properties.preset),
  metadata: intent.properties.metadata,
  stamped: Type.Optional(
    Type.Array(Type.String(), {
      description: 'names of metadata that an upload token set; any other name may be set by the user',
    }),
  ),
  findings: Type.Optional(Findings),
  variants: Type.Optional(Type.Array(Type.Omit(Variant, ['key']))),
  error: Type.Optional(UploadError),
  createdAt: Type.Optional(Type.String()),
  updatedAt: Type.Optional(Type.String()),
})
export type WebhookUpload = Static<typeof WebhookUpload>

/**
 * An event in the outbox. Its id follows from what happened (the upload, its bytes, the outcome), so that the same event
 * written twice is one object, and a receiver sees the same `webhook-id` each time.
 */
export const WebhookEvent = Type.Object({
  version: Type.Literal(1),
  id: Type.String({ pattern: '^evt_[0-9a-f]{32}$' }),
  type: WebhookEventType,
  tenantKey: Type.String({ pattern: '^[0-9a-f]{16}$' }),
  owner: Upload.properties.owner,
  at: Type.String({ description: 'ISO 8601, UTC: when it happened' }),
  upload: WebhookUpload,
  traceparent: Type.Optional(Type.String({ description: 'W3C Trace Context of the work that told of it' })),
  needsNoManifest: Type.Optional(
    Type.Literal(true, {
      description: 'an outcome without bytes: of an import that failed. No manifest names it',
    }),
  ),
})
export type WebhookEvent = Static<typeof WebhookEvent>
