import { isFinished } from '@millrace/shared/upload.ts'
import Type from 'typebox'
import type { Api } from './api.ts'
import { type OwnedUpload, UploadParams } from './owned-upload.ts'
import { type ServerSentEvent, sendEvents } from './server-sent-events.ts'
import { uploadVersion, viewUpload } from './upload-view.ts'
import type { WatchUpload } from './watch-upload.ts'

const LastEventId = Type.Object({ 'last-event-id': Type.Optional(Type.String({ maxLength: 64 })) })

/**
 * `/uploads/{id}/events`: an upload as it is, then each change, until it has come to its end. A client that
 * reconnects with `Last-Event-ID` is spared what it has seen; one that has seen the end is told not to come
 * back, which for an EventSource is the status 204.
 *
 * @param deps.closing is aborted when the instance shuts down
 */
export function eventRoutes(
  api: Api,
  deps: { ownedUpload: OwnedUpload; watchUpload: WatchUpload; closing: AbortSignal },
): void {
  const { ownedUpload, watchUpload, closing } = deps

  api.get(
    '/uploads/:id/events',
    { schema: { params: UploadParams, headers: LastEventId } },
    async (request, reply) => {
      const lastSeen = request.headers['last-event-id']
      const found = await ownedUpload(request, request.params.id)
      if (isFinished(found.upload) && uploadVersion(found) === lastSeen) return reply.code(204).send()
      return sendEvents(reply, (signal) => events(found.upload, lastSeen, signal), closing)
    },
  )

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
