import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

/** What the id of an upload token tells. */
export type TokenId = {
  /** The user whose token it is (`userOwner`). */
  owner: string
  /** When the token ends, in ms since 1970: whole seconds. */
  endsAtMs: number
}

/** End in seconds since 1970, the user's owner without `u-`, 64 random bits, and 64 bits of an HMAC of all of these. */
const form = /^(\d{10}-([0-9a-f]{16}-[0-9a-f]{32})-[0-9a-f]{16})([0-9a-f]{16})$/

/**
 * Makes the id of a new upload token. It begins with the token's end, so that ids sort by it. The HMAC lets nobody make ids
 * up: there are at most as many revocations as there were tokens.
 *
 * @param key authenticates the id
 */
export function newTokenId({ owner, endsAtMs }: TokenId, key: Uint8Array): string {
  const text = `${endsAtMs / 1000}-${owner.slice('u-'.length)}-${randomBytes(8).toString('hex')}`
  return `${text}${authenticate(text, key)}`
}

/**
 * Reads the id of an upload token.
 *
 * @param keys those with which it may have been made
 * @returns undefined if the id was not made with one of these keys
 */
export function readTokenId(id: string, keys: readonly Uint8Array[]): TokenId | undefined {
  const [, text = '', user, mac = ''] = form.exec(id) ?? []
  if (user === undefined) return undefined
  const isOurs = keys.some((key) => timingSafeEqual(Buffer.from(authenticate(text, key)), Buffer.from(mac)))
  return isOurs ? { owner: `u-${user}`, endsAtMs: tokenIdEndMs(id) } : undefined
}

/** Returns when the token of an id ends, in ms since 1970, without checking the id. NaN if it is no id. */
export function tokenIdEndMs(id: string): number {
  return Number(/^\d{10}(?=-)/.exec(id)?.[0] ?? Number.NaN) * 1000
}

function authenticate(text: string, key: Uint8Array): string {
  return createHmac('sha256', key).update(text).digest('hex').slice(0, 16)
}
