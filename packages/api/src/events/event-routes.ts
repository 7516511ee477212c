import { AppError } from '@millrace/shared/service/app-error.ts'
import { isFinished } from '@millrace/shared/uploads/upload.ts'
import Type from 'typebox'
import type { Api } from '../http/api.ts'
import { type ServerSentEvent, sendEvents } from '../http/server-sent-events.ts'
import type { RequestOwner } from '../identity/request-owner.ts'
import { type FindOwnUpload, UploadParams } from '../uploads/find-own-upload.ts'
import { uploadVersion, viewUpload } from '../uploads/upload-view.ts'
import type { OwnerEvent, WatchOwner } from './watch-owner.ts'
import type { WatchUpload } from './watch-upload.ts'

const LastEventId = Type.Object({ 'last-event-id': Type.Optional(Type.String({ maxLength: 64 })) })

/**
 * `/uploads/{id}/events`: an upload as it is, then each change, until it has come to its end. A client that
 * reconnects with `Last-Event-ID` is spared what it has seen; one that has seen the end is told not to come
 * back, which for an EventSource is the status 204.
 *
 * `/events`: all uploads of whoever is asking: `snapshot` first (the newest, as `GET /uploads` lists them), then
 * `upload` for each change and `erased` for each erasure. With `Last-Event-ID` the snapshot is left out
 * where all that happened since can be told.
 *
 * @param deps.closing is aborted when the instance shuts down
 */
export function eventRoutes(
  api: Api,
  deps: {
    owner: RequestOwner
    findOwnUpload: FindOwnUpload
    watchUpload: WatchUpload
    watchOwner: WatchOwner
    closing: AbortSignal
  },
): void {
  const { owner, findOwnUpload, watchUpload, watchOwner, closing } = deps

  api.get(
    '/uploads/:id/events',
    { schema: { params: UploadParams, headers: LastEventId } },
    async (request, reply) => {
      const lastSeen = request.headers['last-event-id']
      const found = await findOwnUpload(request, request.params.id)
      if (isFinished(found.upload) && uploadVersion(found) === lastSeen) return reply.code(204).send()
      return sendEvents(reply, (signal) => events(found.upload, lastSeen, signal), closing)
    },
  )

  api.get('/events', { schema: { headers: LastEventId } }, async (request, reply) => {
    const asking = await owner.find(request)
    if (!asking) throw new AppError('unauthenticated', { message: 'There is no session and no API key.' })
    const lastSeen = Number(request.headers['last-event-id'])
    const seen = Number.isSafeInteger(lastSeen) && lastSeen > 0 ? lastSeen : undefined
    return sendEvents(reply, (signal) => ownerEvents(watchOwner(asking, seen, signal)), closing)
  })

  async function* ownerEvents(watched: AsyncIterable<OwnerEvent>): AsyncGenerator<ServerSentEvent> {
    for await (const event of watched)
      yield { id: String(event.sequence), event: event.kind, data: viewEvent(event) }
  }

  function viewEvent(event: OwnerEvent): unknown {
    switch (event.kind) {
      case 'snapshot': {
        const last = event.uploads.at(-1)
        return { uploads: event.uploads.map(viewUpload), ...(event.more && last && { nextCursor: last.id }) }
      }
      case 'upload':
        return viewUpload(event.upload)
      case 'erased':
        return { id: event.id }
    }
  }

  async function* events(
    address: { owner: string; id: string },
    lastSeen: string | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<ServerSentEvent> {
    for await (const stored of watchUpload(address, signal)) {
      const id = uploadVersion(stored)
      if (id !== lastSeen) yield { id, event: 'upload', data: viewUpload(stored.upload) }
    }
  }
}
