import Type from 'typebox'

/** The part of a user's owner that follows the tenant's key: 32 hex digits. A cursor of lists of users. */
export const UserKey = Type.String({ pattern: '^[0-9a-f]{32}$' })
