import { createHash } from 'node:crypto'
import { ListObjectsV2Command, paginateListObjectsV2, type S3Client } from '@aws-sdk/client-s3'
import type { Logger } from 'pino'
import { Compile } from 'typebox/compile'
import { undefinedIfUnreadable } from '../connections/stored-json.ts'
import { createJsonObjects } from '../ledger/json-objects.ts'
import { outboxKey, outboxPrefix } from '../ledger/object-keys.ts'
import type { TenantUsers } from '../tenants/tenant-users.ts'
import { noTracing, type Tracing } from '../tracing/tracing.ts'
import { tenantKeyOf } from '../uploads/owner.ts'
import type { Arrival, Upload } from '../uploads/upload.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { WebhookEvent, type WebhookEventType, type WebhookUpload } from './webhook-event.ts'
import type { WebhookStore } from './webhook-store.ts'

const webhookEvent = Compile(WebhookEvent)

/** S3 lists at most this many keys in one request. */
const maxPageSize = 1000

/** What happened to an upload. Of one that is deleted, only the address is known. */
export type Happening = { at: string; cause: string } & (
  | { type: Exclude<WebhookEventType, 'upload.deleted'>; upload: Upload; needsNoManifest?: true }
  | { type: 'upload.deleted'; upload: UploadAddress }
)

/** What an event tells of. Its id follows from this. */
export type EventSource = {
  type: WebhookEventType
  owner: string
  uploadId: string
  /** Tells events of one type and upload apart: `arrivalCause`, with the time of an outcome; empty for a deletion. */
  cause: string
}

/** An event in the outbox, as a listing shows it. */
export type OutboxEntry = {
  key: string
  /** When it was written, in ms since 1970. S3 dates objects by the second. */
  writtenAtMs: number
}

/** Returns the id of an event. The same event always has the same id, so that writing it twice writes one object. */
export function eventId({ type, owner, uploadId, cause }: EventSource): string {
  const hash = createHash('sha256').update([type, owner, uploadId, cause].join('\0')).digest('hex')
  return `evt_${hash.slice(0, 32)}`
}

/** Returns the cause of an event about an arrival. @param finishedAt of the manifest, for an outcome */
export function arrivalCause({ etag, versionId = '' }: Arrival, finishedAt = ''): string {
  return [etag, versionId, finishedAt].join('\0')
}

/**
 * Writes events for webhooks to S3 before what they tell of is final, so that neither a crash nor a loss of Redis loses one
 * (decision 0035). They stay until every webhook has them.
 *
 * @param deps.bucket the bucket that is the ledger
 * @param deps.announce adds an event's deliveries to their queue; without it, only the relay finds events
 * @param deps.log logs events that could not be announced
 * @param deps.tracing its active trace goes with each event; default: nothing is traced
 */
export function createOutbox(deps: {
  s3: S3Client
  bucket: string
  webhooks: Pick<WebhookStore, 'list'>
  tenantUsers: Pick<TenantUsers, 'find'>
  announce?: ((event: WebhookEvent) => Promise<void>) | undefined
  log?: Logger | undefined
  tracing?: Pick<Tracing, 'traceparent'> | undefined
}) {
  const { s3, bucket, webhooks, tenantUsers, log, tracing = noTracing } = deps
  const objects = createJsonObjects(deps, webhookEvent)

  async function isWanted(type: WebhookEventType, owner: string): Promise<boolean> {
    const tenant = tenantKeyOf(owner)
    if (tenant === undefined) return false
    return (await webhooks.list(tenant)).some(({ enabled, events }) => enabled && events.includes(type))
  }

  return {
    /** Whether a webhook gets events of this type about uploads of this owner. Costs no request, mostly. */
    isWanted,

    /**
     * Writes an event, if the upload's tenant has an enabled webhook for its type. Without one it costs no request.
     * @param happening.at ISO 8601, UTC: when it happened
     * @param happening.cause see `EventSource`
     * @returns undefined if nobody wants it
     */
    async add(happening: Happening): Promise<WebhookEvent | undefined> {
      const { type, at, cause } = happening
      const { owner, id } = happening.upload
      const tenantKey = tenantKeyOf(owner)
      if (tenantKey === undefined || !(await isWanted(type, owner))) return undefined
      const user = owner.startsWith('u-') ? (await tenantUsers.find(owner))?.user : undefined
      const traceparent = tracing.traceparent()
      const event: WebhookEvent = {
        version: 1,
        id: eventId({ type, owner, uploadId: id, cause }),
        type,
        tenantKey,
        owner,
        at,
        upload: { ...describe(happening), ...(user !== undefined && { user }) },
        ...(traceparent !== undefined && { traceparent }),
        ...('needsNoManifest' in happening && { needsNoManifest: true }),
      }
      await objects.write(keyOf(event), event)
      return event
    },

    /**
     * Has an event delivered soon. Call it once what the event tells of is final. It never fails: the relay finds the event
     * in S3 as well, only later.
     */
    async announce(event: WebhookEvent): Promise<void> {
      try {
        await deps.announce?.(event)
      } catch (error) {
        log?.warn(
          { err: error, event: 'webhook-not-announced', webhookEvent: event.id },
          'webhook event not announced, the relay will find it',
        )
      }
    },

    /**
     * Lists events of all tenants, for the relay. S3 lists by key; each page has its oldest first.
     * @param page.after continues after the last page: its `next`
     * @param page.limit the number of keys, 1,000 at most
     * @returns `next` is undefined at the end
     */
    async list({ after, limit = maxPageSize }: { after?: string | undefined; limit?: number } = {}): Promise<{
      entries: OutboxEntry[]
      next: string | undefined
    }> {
      const { Contents = [], IsTruncated } = await s3.send(
        new ListObjectsV2Command({
          Bucket: bucket,
          Prefix: outboxPrefix,
          MaxKeys: Math.min(limit, maxPageSize),
          StartAfter: after,
        }),
      )
      const entries = Contents.map(({ Key = '', LastModified }) => ({
        key: Key,
        writtenAtMs: LastModified?.getTime() ?? 0,
      }))
      const next = IsTruncated ? entries.at(-1)?.key : undefined
      return { entries: entries.toSorted((one, other) => one.writtenAtMs - other.writtenAtMs), next }
    },

    /** Returns an upload's events that are not delivered yet, in the order in which they happened. */
    async listOfUpload(tenantKey: string, uploadId: string): Promise<WebhookEvent[]> {
      const keys: string[] = []
      const prefix = `${outboxPrefix}${tenantKey}/${uploadId}/`
      for await (const { Contents = [] } of paginateListObjectsV2(
        { client: s3 },
        { Bucket: bucket, Prefix: prefix },
      )) {
        for (const { Key = '' } of Contents) keys.push(Key)
      }
      const events = await Promise.all(keys.map((key) => objects.read(key).catch(undefinedIfUnreadable)))
      return events.filter((event) => event !== undefined).sort(byTime)
    },

    /**
     * Reads an event. Returns undefined if there is none at this key any more.
     * @throws AppError `unreadable_record` if a newer version wrote it in another form
     */
    read: (key: string): Promise<WebhookEvent | undefined> => objects.read(key),

    /** Deletes an event: every webhook has it, or it tells of something that did not happen. */
    async remove(event: Pick<WebhookEvent, 'tenantKey' | 'id'> & { upload: { id: string } }): Promise<void> {
      await objects.delete(keyOf(event))
    },
  }
}

export type Outbox = ReturnType<typeof createOutbox>

function keyOf({
  tenantKey,
  id,
  upload,
}: Pick<WebhookEvent, 'tenantKey' | 'id'> & { upload: { id: string } }): string {
  return outboxKey(tenantKey, upload.id, id)
}

/** Returns what the event says of the upload. After a deletion, nothing of it is kept. */
function describe(happening: Happening): WebhookUpload {
  const { id } = happening.upload
  if (happening.type === 'upload.deleted') return { id, state: 'deleted' }
  const { state, intent, findings, variants, error, arrival, createdAt, updatedAt } = happening.upload
  const { filename, contentType, size, preset, metadata, stamped } = intent
  return {
    id,
    state,
    filename,
    contentType,
    size: arrival?.size ?? size,
    preset,
    ...(metadata && { metadata }),
    ...(stamped && { stamped }),
    findings,
    variants: variants.map(({ key: _, ...variant }) => variant),
    ...(error && { error }),
    createdAt,
    updatedAt,
  }
}

/** Compares events by when they happened. The deletion is last, even if the clocks of two machines differ. */
function byTime(one: WebhookEvent, other: WebhookEvent): number {
  const isDeletion = (event: WebhookEvent) => Number(event.type === 'upload.deleted')
  return isDeletion(one) - isDeletion(other) || Date.parse(one.at) - Date.parse(other.at)
}
