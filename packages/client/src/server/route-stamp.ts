import type { WebhookEvent } from '../webhooks/webhook-event.ts'

/** The name under which an upload's metadata has its route. */
const routeName = 'millrace-route'

/** Returns the metadata that a token stamps on each upload of a route. */
export function stampMetadata(route: string, metadata: Record<string, string>): Record<string, string> {
  return { ...metadata, [routeName]: route }
}

/**
 * Returns the route of an upload and what its middleware returned. Only what a token stamped counts: a user whose token is of
 * another kind can send metadata of any name.
 *
 * @returns undefined if the upload did not come by a route
 */
export function readStamp({
  metadata = {},
  stamped = [],
}: Pick<Described, 'metadata' | 'stamped'>): { route: string; metadata: Record<string, string> } | undefined {
  const { [routeName]: route, ...rest } = Object.fromEntries(
    Object.entries(metadata).filter(([name]) => stamped.includes(name)),
  )
  return route === undefined ? undefined : { route, metadata: rest }
}

type Described = Exclude<WebhookEvent, { type: 'upload.deleted' }>['data']
