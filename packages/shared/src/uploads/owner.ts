import Type from 'typebox'

/**
 * The owner of an upload: `s-` and the public half of a session's id, or the name of an API key. It is part of object
 * keys and Redis keys, so its characters need no escaping in either.
 */
export const Owner = Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,62}$' })

/** Returns the owner of a session. @param publicHalf 32 hex digits */
export function sessionOwner(publicHalf: string): string {
  return `s-${publicHalf}`
}
