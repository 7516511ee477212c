import { hkdfSync } from 'node:crypto'

/** The keys of upload tokens that belong to one session key. */
export type TokenKeys = {
  /** Names the key in a token's header. Not secret. */
  kid: string
  /** Signs tokens (HMAC-SHA-256), 32 bytes. */
  signing: Uint8Array<ArrayBuffer>
  /** Authenticates the ids of tokens, 32 bytes. */
  ids: Uint8Array
}

/** How the `kid` of each token of ours begins. */
export const kidPrefix = 'millrace-'

/**
 * Derives the keys of upload tokens from the session keys (HKDF with SHA-256, RFC 5869), so that they rotate with them and
 * need no setting of their own. A session key is random, so it needs no salt.
 *
 * @param sessionKeys 32 random bytes each
 * @returns in the same order: the first signs, all of them verify
 */
export function deriveTokenKeys(sessionKeys: readonly Uint8Array[]): TokenKeys[] {
  return sessionKeys.map((sessionKey) => {
    const derive = (use: string, bytes: number) =>
      new Uint8Array(hkdfSync('sha256', sessionKey, '', `millrace upload tokens, version 1: ${use}`, bytes))
    return {
      kid: `${kidPrefix}${Buffer.from(derive('key id', 8)).toString('hex')}`,
      signing: derive('signing', 32),
      ids: derive('ids', 32),
    }
  })
}
