import type { components } from '../api/api-types.ts'

type Schemas = components['schemas']
type Content = Schemas['WebhookEvent']
type Data = Content['data']

/** What an event says of an upload that exists. */
type Described = Omit<Data, OptionalOnlyAfterDeletion> & Required<Pick<Data, OptionalOnlyAfterDeletion>>
type OptionalOnlyAfterDeletion =
  | 'filename'
  | 'contentType'
  | 'size'
  | 'preset'
  | 'findings'
  | 'variants'
  | 'createdAt'
  | 'updatedAt'

type Event<Type extends Schemas['WebhookEventType'], EventData> = Omit<Content, 'type' | 'data'> & {
  type: Type
  data: EventData
}
type Refusal<State extends Data['state']> = Described & { state: State; error: Schemas['UploadError'] }

/**
 * An event about an upload, as webhooks receive it. `type` tells which fields `data` has: after `upload.deleted` only `id`,
 * `user` and `state`. A newer version of Millrace may send further types: ignore those that you do not know.
 */
export type WebhookEvent =
  | Event<'upload.received', Described>
  | Event<'upload.ready', Described & { state: 'ready' }>
  | Event<'upload.rejected', Refusal<'rejected'>>
  | Event<'upload.failed', Refusal<'failed'>>
  | Event<'upload.deleted', Pick<Data, 'id' | 'user'> & { state: 'deleted' }>
