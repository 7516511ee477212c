import { RouteError } from '../routes/route-error.ts'
import { verifyWebhook, WebhookError } from '../webhooks/verify-webhook.ts'
import { readBody } from './read-body.ts'
import { readStamp } from './route-stamp.ts'
import type { UploadRoute } from './upload-route.ts'

/** What `onDeleted` gets. */
export type Deletion = { upload: { id: string }; user: string | undefined; eventId: string }

/**
 * Creates the function that receives the events of Millrace's webhooks and calls the callbacks of their routes. Events of
 * uploads that came another way, of routes that are no more, and samples are ignored.
 */
export function createReceiveEvent<Context>(deps: {
  routes: Readonly<Record<string, UploadRoute<unknown, Context>>>
  secret: string | readonly string[]
  onDeleted: ((deletion: Deletion) => unknown) | undefined
}) {
  const { routes, secret, onDeleted } = deps

  /** @throws RouteError; WebhookError `secret_invalid`; what the callbacks throw */
  return async function receiveEvent(request: Request): Promise<void> {
    const event = verify(await readBody(request), request.headers)
    if (event.test) return
    const { user } = event.data
    if (event.type === 'upload.deleted') {
      await onDeleted?.({ upload: { id: event.data.id }, user, eventId: event.id })
      return
    }
    const stamp = readStamp(event.data)
    const route = stamp && Object.hasOwn(routes, stamp.route) ? routes[stamp.route] : undefined
    if (!stamp || !route || user === undefined || !isOutcome(event)) return
    await route.receive({ event, user, metadata: stamp.metadata })
  }

  /** @throws RouteError `signature_invalid`, `request_invalid`; WebhookError `secret_invalid` */
  function verify(body: string, headers: Headers) {
    try {
      return verifyWebhook(body, headers, secret)
    } catch (error) {
      if (!(error instanceof WebhookError) || error.code === 'secret_invalid') throw error
      const isUnsigned = error.code !== 'event_invalid'
      throw new RouteError({
        ...(isUnsigned
          ? { status: 401, code: 'signature_invalid' }
          : { status: 400, code: 'request_invalid' }),
        detail: error.message,
      })
    }
  }
}

type Received = ReturnType<typeof verifyWebhook>
type OutcomeEvent = Extract<Received, { type: 'upload.ready' | 'upload.rejected' | 'upload.failed' }>

/** Newer versions of Millrace may send types that this one does not know. */
function isOutcome(event: Received): event is OutcomeEvent {
  return ['upload.ready', 'upload.rejected', 'upload.failed'].includes(event.type)
}
