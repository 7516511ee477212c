import type { Subscriber } from '@millrace/shared/connections/subscriber.ts'
import type { Lifecycle } from '@millrace/shared/lifecycle/lifecycle.ts'
import type { TenantUsers } from '@millrace/shared/tenants/tenant-users.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { Api } from '../http/api.ts'
import type { EndedIdentities } from '../identity/ended-identities.ts'
import type { RequestOwner } from '../identity/request-owner.ts'
import type { Listing } from '../listing/listing.ts'
import type { EventStreams } from '../streams/server-sent-events.ts'
import type { Uploads } from '../uploads/uploads.ts'
import { eventRoutes } from './event-routes.ts'
import { createSubscriberHeartbeat } from './subscriber-heartbeat.ts'
import { createUploadChanges } from './upload-changes.ts'
import { createWatchOwner } from './watch-owner.ts'
import { createWatchUpload } from './watch-upload.ts'
import { createWatchUsers } from './watch-users.ts'

/**
 * Adds the server-sent events of uploads.
 *
 * @param deps.redis a connection for commands
 */
export function registerEvents(
  scope: Api,
  deps: {
    subscriber: Subscriber
    redis: Redis
    prefix: string
    log: Logger
    lifecycle: Pick<Lifecycle, 'records' | 'lookup' | 'epoch'>
    listing: Pick<Listing, 'listUploads'>
    uploads: Pick<Uploads, 'findOwnUpload' | 'viewUpload'>
    owner: RequestOwner
    eventStreams: EventStreams
    endedIdentities: EndedIdentities
    tenantUsers: Pick<TenantUsers, 'find'>
  },
): void {
  const { subscriber, prefix, log, owner, eventStreams, endedIdentities, tenantUsers } = deps
  const { records, lookup, epoch } = deps.lifecycle
  const { listUploads } = deps.listing
  const { findOwnUpload, viewUpload } = deps.uploads
  const heartbeat = createSubscriberHeartbeat(deps)
  scope.addHook('onReady', async () => heartbeat.start())
  scope.addHook('onClose', async () => heartbeat.stop())
  const changes = createUploadChanges({ subscriber, prefix, epoch, log })
  eventRoutes(scope, {
    owner,
    findOwnUpload,
    viewUpload,
    watchUpload: createWatchUpload({ lookup, changes }),
    watchUsers: createWatchUsers({ records, lookup, changes }),
    tenantUsers,
    watchOwner: createWatchOwner({ records, lookup, listUploads, changes }),
    eventStreams,
    endedIdentities,
  })
}
