import Type from 'typebox'

/**
 * Who an upload belongs to: `s-` and the public half of a session's id, or the name an API key was given.
 * It is part of object keys and of Redis keys, so its alphabet needs no escaping in either.
 */
export const Owner = Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,62}$' })

/** The owner that a session's public half (32 hex digits) stands for. */
export function sessionOwner(publicHalf: string): string {
  return `s-${publicHalf}`
}
