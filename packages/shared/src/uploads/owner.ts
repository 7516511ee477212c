import { createHash } from 'node:crypto'
import Type from 'typebox'

/**
 * The owner of an upload: `s-` and the public half of a session's id, the name of a tenant (that of its API keys), or a
 * user of a tenant: `u-`, the tenant's key, `-`, and a hash of the user's id. It is part of object keys and Redis keys, so
 * its characters need no escaping in either.
 */
export const Owner = Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,62}$' })

/** A tenant's name. Not one that looks like the owner of a session or a user. */
export const TenantName = Type.String({ pattern: '^(?![su]-)[a-z0-9][a-z0-9-]{0,62}$', maxLength: 63 })

/** A user's id, as the tenant's backend or its identity provider names it. */
export const UserId = Type.String({
  minLength: 1,
  maxLength: 256,
  description: "the tenant's own id of its user, any text",
})

const userOwnerForm = /^u-([0-9a-f]{16})-[0-9a-f]{32}$/

/** Returns the owner of a session. @param publicHalf 32 hex digits */
export function sessionOwner(publicHalf: string): string {
  return `s-${publicHalf}`
}

/** Returns the key of a tenant: 64 bits of a hash of its name, 16 hex digits. It is part of the keys of all its objects. */
export function tenantKey(tenant: string): string {
  return sha256(tenant).slice(0, 16)
}

/**
 * Returns the owner that a user of a tenant is. The same user is always the same owner. All owners of a tenant's users
 * begin with `userOwnerPrefix`, so that S3 lists them together.
 */
export function userOwner(tenant: string, user: string): string {
  return `${userOwnerPrefix(tenant)}${sha256(`${tenant}\0${user}`).slice(0, 32)}`
}

/** Returns how the owners of all users of a tenant begin. */
export function userOwnerPrefix(tenant: string): string {
  return `u-${tenantKey(tenant)}-`
}

/** Returns the name under which the changes of all users of a tenant are kept and published together. It is no owner. */
export function usersGroup(tenant: string): string {
  return `u-${tenantKey(tenant)}`
}

/** Returns the group of users that an owner belongs to; undefined if it is no user. */
export function usersGroupOf(owner: string): string | undefined {
  const key = userOwnerForm.exec(owner)?.[1]
  return key === undefined ? undefined : `u-${key}`
}

/** Returns the key of the tenant that an owner belongs to; undefined for a session, which has none. */
export function tenantKeyOf(owner: string): string | undefined {
  if (owner.startsWith('s-')) return undefined
  return userOwnerForm.exec(owner)?.[1] ?? tenantKey(owner)
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
