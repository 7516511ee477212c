import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { EnvironmentError } from '@millrace/shared/service/environment.ts'
import { Owner } from '@millrace/shared/uploads/owner.ts'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'

/** What a request may do. Sessions may read and write uploads; only API keys may have the scope `admin`. */
export const Scope = Type.Union([
  Type.Literal('uploads:read'),
  Type.Literal('uploads:write'),
  Type.Literal('admin'),
])
export type Scope = Static<typeof Scope>

/** A configured API key: its owner, its scopes and its hash, but not the key itself. */
export type ApiKey = { owner: string; scopes: ReadonlySet<Scope>; sha256: Buffer }

const owner = Compile(Owner)
const scope = Compile(Scope)
const sessionOwnerPrefix = 's-'

/**
 * Reads the configured keys.
 *
 * @param text `owner/scope+scope/sha256`, comma separated; the hash is of the key, 64 hex digits
 * @throws EnvironmentError that says which entry is wrong, never what is in it
 */
export function readApiKeys(text: string): ApiKey[] {
  const entries = text.split(',').filter((entry) => entry.trim() !== '')
  return entries.map((entry, index) => {
    const [name = '', scopes = '', sha256 = ''] = entry.trim().split('/')
    const named = scopes.split('+').filter((candidate): candidate is Scope => scope.Check(candidate))
    const isValid =
      owner.Check(name) &&
      // Nobody's key may speak for a session.
      !name.startsWith(sessionOwnerPrefix) &&
      named.length === scopes.split('+').length &&
      /^[0-9a-f]{64}$/.test(sha256)
    if (!isValid) {
      throw new EnvironmentError(`API_KEYS: entry ${index + 1} is not of the form owner/scope+scope/sha256.`)
    }
    return { owner: name, scopes: new Set(named), sha256: Buffer.from(sha256, 'hex') }
  })
}

/** Creates the lookup of configured API keys. */
export function createApiKeys(configured: ApiKey[]) {
  return {
    /**
     * Returns the configured key of a bearer token, if there is one. It compares with every key, each in
     * constant time, so that its duration reveals nothing about the keys.
     */
    find(token: string): ApiKey | undefined {
      const digest = createHash('sha256').update(token).digest()
      let match: ApiKey | undefined
      for (const key of configured) if (timingSafeEqual(key.sha256, digest)) match = key
      return match
    },
  }
}

export type ApiKeys = ReturnType<typeof createApiKeys>

/**
 * Generates a key of 32 random bytes.
 *
 * @returns the key, which is shown only once, and its entry for `API_KEYS`
 * @throws EnvironmentError where owner or scopes are not valid
 */
export function newApiKey(name: string, scopes: string[]): { key: string; entry: string } {
  const key = `mr_${randomBytes(32).toString('base64url')}`
  const entry = `${name}/${scopes.join('+')}/${createHash('sha256').update(key).digest('hex')}`
  readApiKeys(entry)
  return { key, entry }
}
