import { createHash, timingSafeEqual } from 'node:crypto'
import { type ReportProblem, throwProblem } from '@millrace/shared/service/environment.ts'
import { generateKey, hashOfKey } from '@millrace/shared/tenants/generate-key.ts'
import { TenantName } from '@millrace/shared/uploads/owner.ts'
import { Compile } from 'typebox/compile'
import { type Caller, Scope } from './caller.ts'

/**
 * A configured API key: its tenant, its scopes and its hash, but not the key itself. The id is a part of the hash; it
 * distinguishes keys of one tenant.
 */
export type ApiKey = { id: string; tenant: string; scopes: ReadonlySet<Scope>; sha256: Buffer }

/** Hexadecimal digits of a hash that a key's id has. */
const idLength = 32

const tenantName = Compile(TenantName)
const scope = Compile(Scope)

/**
 * Reads the configured keys.
 *
 * @param text `owner/scope+scope/sha256`, comma separated; the hash is of the key, 64 hex digits
 * @param report receives one sentence per wrong entry; it never contains the entry itself
 * @returns the keys of all correct entries
 * @throws EnvironmentError for the first wrong entry, without `report`
 */
export function readApiKeys(text: string, report: ReportProblem = throwProblem): ApiKey[] {
  const entries = text.split(',').filter((entry) => entry.trim() !== '')
  return entries.flatMap((entry, index) => {
    const [name = '', scopeList = '', sha256 = ''] = entry.trim().split('/')
    const scopes = scopeList.split('+')
    const validScopes = scopes.filter((candidate): candidate is Scope => scope.Check(candidate))
    const problem = !tenantName.Check(name)
      ? 'its owner must be up to 63 lower-case letters, digits and dashes, and must not begin with a dash, "s-" or "u-"'
      : validScopes.length < scopes.length
        ? `its scopes must be of ${Scope.anyOf.map((literal) => literal.const).join(', ')}`
        : /^[0-9a-f]{64}$/.test(sha256)
          ? undefined
          : 'its hash must be 64 lower-case hexadecimal digits'
    if (problem === undefined) {
      const id = `key-${sha256.slice(0, idLength)}`
      return [{ id, tenant: name, scopes: new Set(validScopes), sha256: Buffer.from(sha256, 'hex') }]
    }
    report(`API_KEYS: entry ${index + 1} must be owner/scope+scope/sha256; ${problem}.`)
    return []
  })
}

/** Creates the lookup of configured API keys. */
export function createApiKeys(configured: ApiKey[]) {
  return {
    /**
     * Returns the configured key of a bearer token, if there is one. It compares with every key, each in
     * constant time, so that its duration reveals nothing about the keys.
     */
    find(token: string): Caller | undefined {
      const digest = createHash('sha256').update(token).digest()
      let match: ApiKey | undefined
      for (const key of configured) if (timingSafeEqual(key.sha256, digest)) match = key
      return match && callerOf(match)
    },

    /** Returns the configured key of an id, if there is still one. */
    findById(id: string): Caller | undefined {
      const match = configured.find((key) => key.id === id)
      return match && callerOf(match)
    },
  }
}

function callerOf({ id, tenant, scopes }: ApiKey): Caller {
  return {
    kind: 'key',
    id,
    tenant,
    user: undefined,
    owner: tenant,
    scopes,
    endsAtMs: undefined,
    hasEnded: async () => false,
  }
}

export type ApiKeys = ReturnType<typeof createApiKeys>

/**
 * Generates a key of 32 random bytes.
 *
 * @returns the key, which is shown only once, and its entry for `API_KEYS`
 * @throws EnvironmentError if the owner or a scope is not valid
 */
export function newApiKey(name: string, scopes: string[]): { key: string; entry: string } {
  const key = generateKey()
  const entry = `${name}/${scopes.join('+')}/${hashOfKey(key)}`
  readApiKeys(entry)
  return { key, entry }
}
