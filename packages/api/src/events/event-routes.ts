import { AppError } from '@millrace/shared/service/app-error.ts'
import type { TenantUsers } from '@millrace/shared/tenants/tenant-users.ts'
import { usersGroup } from '@millrace/shared/uploads/owner.ts'
import { isFinished } from '@millrace/shared/uploads/upload.ts'
import type { FastifyReply, FastifyRequest } from 'fastify'
import Type from 'typebox'
import { hasScope } from '../credentials/caller.ts'
import type { Api } from '../http/api.ts'
import { budgetHolder } from '../identity/budget-holder.ts'
import type { EndedIdentities } from '../identity/ended-identities.ts'
import type { RequestOwner } from '../identity/request-owner.ts'
import type { EventStreams, ServerSentEvent, StreamOpener } from '../streams/server-sent-events.ts'
import { type FindOwnUpload, UploadParams } from '../uploads/find-own-upload.ts'
import { uploadVersion, type ViewUpload } from '../uploads/upload-view.ts'
import type { OwnerEvent, WatchOwner } from './watch-owner.ts'
import type { WatchUpload } from './watch-upload.ts'
import type { UsersEvent, WatchUsers } from './watch-users.ts'

/** All users of the tenant; without it, the request's owner. */
const Watched = Type.Object({ users: Type.Optional(Type.Literal('all')) })
const LastEventId = Type.Object({ 'last-event-id': Type.Optional(Type.String({ maxLength: 64 })) })

/**
 * Adds the server-sent events.
 *
 * `/uploads/{id}/events`: the current state of an upload, then each change and `progress`, until the upload is finished.
 * With `Last-Event-ID`, a state that the client has already received is not repeated. If that was the last
 * state, the response is 204, after which an EventSource does not reconnect.
 *
 * `/events`: all uploads of the request's owner. `snapshot` first (the newest uploads, as `GET /uploads`
 * lists them), then `upload` for each change, `erased` for each erasure, and `progress`. With `Last-Event-ID`, the missed
 * changes replace the snapshot if Redis still has all of them.
 *
 * `/events?users=all`: the uploads of all users of the tenant, for its administrator. There is no snapshot and no `progress`:
 * `opened` first, then `upload` and `erased`. With `Last-Event-ID`, the missed changes come first, or `missed` if Redis does
 * not have all of them.
 *
 * `progress` has no id: it is not repeated after a reconnection.
 *
 * A stream ends when the session or the API key that opened it ends.
 */
export function eventRoutes(
  api: Api,
  deps: {
    owner: RequestOwner
    findOwnUpload: FindOwnUpload
    watchUpload: WatchUpload
    watchOwner: WatchOwner
    watchUsers: WatchUsers
    tenantUsers: Pick<TenantUsers, 'find'>
    eventStreams: EventStreams
    endedIdentities: EndedIdentities
    viewUpload: ViewUpload
  },
): void {
  const { owner, findOwnUpload, watchUpload, watchOwner, watchUsers, tenantUsers } = deps
  const { eventStreams, endedIdentities, viewUpload } = deps

  api.get(
    '/uploads/:id/events',
    { schema: { params: UploadParams, headers: LastEventId } },
    async (request, reply) => {
      const lastEventId = request.headers['last-event-id']
      const stored = await findOwnUpload(request, request.params.id)
      if (isFinished(stored.upload) && uploadVersion(stored) === lastEventId) return reply.code(204).send()
      return eventStreams.send(reply, openerOf(request, stored.upload.owner), (signal) =>
        uploadEvents(stored.upload, { lastEventId, user: request.caller?.user }, signal),
      )
    },
  )

  api.get('/events', { schema: { querystring: Watched, headers: LastEventId } }, async (request, reply) => {
    if (request.query.users === 'all') return sendUsersEvents(request, reply)
    const ownerId = await owner.find(request)
    if (!ownerId)
      throw new AppError('unauthenticated', { message: 'The request has no session and no API key.' })
    const sequence = Number(request.headers['last-event-id'])
    const position = Number.isSafeInteger(sequence) && sequence > 0 ? sequence : undefined
    return eventStreams.send(reply, openerOf(request, ownerId), (signal) =>
      ownerEvents(watchOwner(ownerId, position, signal), request.caller?.user),
    )
  })

  function sendUsersEvents(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const { caller, headers } = request
    if (!caller) throw new AppError('unauthenticated', { message: 'users=all needs an API key.' })
    if (!hasScope(caller, 'tenant')) {
      throw new AppError('forbidden', { message: 'users=all needs the scope tenant.' })
    }
    const lastEventId = headers['last-event-id']
    const sequence = Number(lastEventId)
    const known = Number.isSafeInteger(sequence) && sequence > 0 ? sequence : 0
    const position = lastEventId === undefined ? undefined : known
    return eventStreams.send(reply, openerOf(request, caller.owner), (signal) =>
      usersEvents(watchUsers(usersGroup(caller.tenant), position, signal)),
    )
  }

  async function* usersEvents(changes: AsyncIterable<UsersEvent>): AsyncGenerator<ServerSentEvent> {
    for await (const event of changes) {
      yield { id: String(event.sequence), event: event.kind, data: await viewUsersEvent(event) }
    }
  }

  async function viewUsersEvent(event: UsersEvent): Promise<unknown> {
    if (event.kind === 'opened' || event.kind === 'missed') return {}
    const { owner, id } = event.kind === 'upload' ? event.upload : event.address
    // Nobody knows the id of a user that was erased.
    const user = (await tenantUsers.find(owner))?.user
    return event.kind === 'upload'
      ? viewUpload(event.upload, user)
      : { id, ...(user !== undefined && { user }) }
  }

  function openerOf(request: FastifyRequest, ownerId: string): StreamOpener {
    return { holder: budgetHolder(request, ownerId), ...endedIdentities.lifetimeOf(request) }
  }

  async function* ownerEvents(
    changes: AsyncIterable<OwnerEvent>,
    user: string | undefined,
  ): AsyncGenerator<ServerSentEvent> {
    for await (const event of changes) {
      if (event.kind === 'progress') yield { event: 'progress', data: event.progress }
      else yield { id: String(event.sequence), event: event.kind, data: viewEvent(event, user) }
    }
  }

  function viewEvent(event: Exclude<OwnerEvent, { kind: 'progress' }>, user: string | undefined): unknown {
    switch (event.kind) {
      case 'snapshot': {
        const { uploads, nextCursor } = event
        return {
          uploads: uploads.map((upload) => viewUpload(upload, user)),
          ...(nextCursor !== undefined && { nextCursor }),
        }
      }
      case 'upload':
        return viewUpload(event.upload, user)
      case 'erased':
        return { id: event.id }
    }
  }

  async function* uploadEvents(
    address: { owner: string; id: string },
    { lastEventId, user }: { lastEventId: string | undefined; user: string | undefined },
    signal: AbortSignal,
  ): AsyncGenerator<ServerSentEvent> {
    for await (const stored of watchUpload(address, signal)) {
      if ('progress' in stored) {
        yield { event: 'progress', data: stored.progress }
        continue
      }
      const id = uploadVersion(stored)
      if (id !== lastEventId) yield { id, event: 'upload', data: viewUpload(stored.upload, user) }
    }
  }
}
