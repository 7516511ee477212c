import { isUnreadable } from '@millrace/shared/connections/stored-json.ts'
import type { Subscriber } from '@millrace/shared/connections/subscriber.ts'
import { apiKeyKey } from '@millrace/shared/ledger/object-keys.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { withDeadline } from '@millrace/shared/service/deadline.ts'
import { createSeldomWarning } from '@millrace/shared/service/seldom-warning.ts'
import { hashOfKey, isKeyText } from '@millrace/shared/tenants/generate-key.ts'
import {
  isExpired,
  type KeyStore,
  type NewApiKey,
  type StoredApiKey,
} from '@millrace/shared/tenants/key-store.ts'
import { tenantKey } from '@millrace/shared/uploads/owner.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { Compile } from 'typebox/compile'
import { type Caller, Scope } from './caller.ts'
import type { KeyUses } from './key-uses.ts'

/** Time between two listings of all keys, in ms: how long another instance, or none, may hide a change without Redis. */
const defaultPeriodMs = 5_000
/** A listing that takes long is repeated less often: listing takes at most 1 / 20 of the time. */
const maxShare = 20
/** How long a request with an unknown key waits for the keys to be loaded, in ms. */
const loadTimeoutMs = 3_000
/** How many keys are read from S3 at once. */
const readsAtOnce = 16

const scope = Compile(Scope)

/** A key as this instance knows it. It was read from the object with this etag. */
type KnownKey = { etag: string; stored: StoredApiKey; caller: Caller }

/**
 * Knows all API keys that were made at run time, so that a request costs no call. S3 is the truth: the keys are listed every
 * 5 s, and objects that are new are read. A message in Redis makes all instances list at once; without Redis the period
 * remains. While S3 does not answer, known keys stay valid.
 *
 * A key is found by its SHA-256 in a Map. How long that takes may tell something of the stored hashes, but a hash does not
 * help to find its key, which has 256 random bits. So no comparison in constant time is needed.
 *
 * @param deps.subscriber hears `{prefix}:api-keys`
 * @param deps.log for keys that cannot be listed or read, at most one line a minute
 * @param deps.periodMs time between two listings, in ms
 */
export function createStoredKeys(deps: {
  store: KeyStore
  uses: Pick<KeyUses, 'note'>
  redis: Redis
  subscriber: Subscriber
  prefix: string
  log: Pick<Logger, 'warn'>
  periodMs?: number
}) {
  const { store, uses, redis, subscriber, periodMs = defaultPeriodMs } = deps
  const channel = `${deps.prefix}:api-keys`
  const warnSeldom = createSeldomWarning(deps)
  const stopped = new AbortController()
  const known = new Map<string, KnownKey>()
  const byHash = new Map<string, KnownKey>()
  const byId = new Map<string, KnownKey>()
  /** Objects of another version, by object key: their etags. They are not read again. */
  const unreadable = new Map<string, string>()
  const endedListeners: (() => void)[] = []
  let isLoaded = false
  /** Counts what this instance hears of changes. A listing that began before the last one may lack it. */
  let changes = 0
  let refreshing: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined

  /** Reads what changed in S3. Shares one run between all callers. */
  function refresh(): Promise<void> {
    refreshing ??= readChanges()
    return refreshing
  }

  async function readChanges(): Promise<void> {
    try {
      let before: number
      do {
        before = changes
        const etags = await store.listObjects(stopped.signal)
        if (before !== changes) continue
        // Before anything is read: a revoked key must not wait for new ones.
        removeAllBut(etags)
        await readNew(etags)
      } while (before !== changes)
      isLoaded = true
    } finally {
      refreshing = undefined
    }
  }

  function removeAllBut(etags: ReadonlyMap<string, string>): void {
    const gone = [...known.keys()].filter((objectKey) => !etags.has(objectKey))
    for (const objectKey of gone) forget(objectKey)
    for (const objectKey of unreadable.keys()) if (!etags.has(objectKey)) unreadable.delete(objectKey)
    if (gone.length > 0) tellEnded()
  }

  function tellEnded(): void {
    for (const listener of endedListeners) listener()
  }

  /** @throws the first error of S3, after all that could be read is known */
  async function readNew(etags: ReadonlyMap<string, string>): Promise<void> {
    const objects = [...etags].filter(
      ([objectKey, etag]) => known.get(objectKey)?.etag !== etag && unreadable.get(objectKey) !== etag,
    )
    const errors: unknown[] = []
    for (let start = 0; start < objects.length; start += readsAtOnce) {
      const batch = objects.slice(start, start + readsAtOnce)
      const read = await Promise.allSettled(batch.map(([objectKey, etag]) => readObject(objectKey, etag)))
      for (const outcome of read) if (outcome.status === 'rejected') errors.push(outcome.reason)
    }
    if (errors.length > 0) throw errors[0]
  }

  async function readObject(objectKey: string, etag: string): Promise<void> {
    const before = changes
    try {
      const stored = await store.read(objectKey, stopped.signal)
      // It may have been revoked while it was read. The next round of the listing tells.
      if (stored && before === changes) remember(objectKey, etag, stored)
    } catch (error) {
      if (!isUnreadable(error)) throw error
      warnSeldom('api-key-unreadable', error, 'an API key of another version cannot be read')
      unreadable.set(objectKey, etag)
    }
  }

  function remember(objectKey: string, etag: string, stored: StoredApiKey): void {
    forget(objectKey)
    const key = { etag, stored, caller: callerOf(stored, () => known.has(objectKey)) }
    known.set(objectKey, key)
    byHash.set(stored.sha256, key)
    byId.set(stored.id, key)
  }

  function forget(objectKey: string): void {
    const key = known.get(objectKey)
    if (!key) return
    known.delete(objectKey)
    byHash.delete(key.stored.sha256)
    byId.delete(key.stored.id)
  }

  /** Makes the other instances list the keys at once. If this fails, they do so within the period. */
  async function publish(): Promise<void> {
    await redis.publish(channel, '').catch(() => undefined)
  }

  function callerOfToken(token: string): Caller | undefined {
    const key = byHash.get(hashOfKey(token))
    if (!key) return undefined
    const { stored, caller } = key
    if (isExpired(stored, Date.now())) {
      throw new AppError('unauthenticated', { message: 'The API key has expired.' })
    }
    uses.note(stored.id)
    return caller
  }

  function callerOfId(id: string): Caller | undefined {
    const key = byId.get(id)
    if (!key || isExpired(key.stored, Date.now())) return undefined
    uses.note(key.stored.id)
    return key.caller
  }

  /** @throws AppError `dependency_unavailable` if the keys cannot be loaded: the key may exist */
  async function lookUpWhenLoaded(lookUp: () => Caller | undefined): Promise<Caller | undefined> {
    try {
      await withDeadline('Loading the API keys', loadTimeoutMs, refresh)
    } catch (error) {
      const found = lookUp()
      if (found) return found
      throw new AppError('dependency_unavailable', { cause: error })
    }
    return lookUp()
  }

  /** Without a promise, as soon as the keys were loaded once. */
  function lookUpNow(lookUp: () => Caller | undefined): Promise<Caller | undefined> | Caller | undefined {
    return isLoaded ? lookUp() : (lookUp() ?? lookUpWhenLoaded(lookUp))
  }

  async function refreshOften(): Promise<void> {
    const startedAtMs = performance.now()
    await refresh().catch((error: unknown) => {
      if (stopped.signal.aborted) return
      warnSeldom('api-keys-not-listed', error, 'the API keys cannot be read: known ones stay valid')
    })
    if (stopped.signal.aborted) return
    const tookMs = performance.now() - startedAtMs
    timer = setTimeout(refreshOften, Math.max(periodMs, maxShare * tookMs)).unref()
  }

  return {
    /**
     * Returns the caller of a key that was made at run time.
     * @throws AppError `unauthenticated` if it has expired; `dependency_unavailable` while the keys were never loaded
     */
    find(token: string): Promise<Caller | undefined> | Caller | undefined {
      return isKeyText(token) ? lookUpNow(() => callerOfToken(token)) : undefined
    },

    /**
     * Returns the caller of the key with this id; undefined if it was revoked or has expired.
     * @throws AppError `dependency_unavailable` while the keys were never loaded
     */
    findById(id: string): Promise<Caller | undefined> | Caller | undefined {
      return lookUpNow(() => callerOfId(id))
    },

    /** Makes a key. This instance knows it at once. @throws AppError `too_many_keys` */
    async create(newKey: NewApiKey): Promise<{ key: string; stored: StoredApiKey }> {
      const { key, stored, objectKey, etag } = await store.create(newKey)
      changes += 1
      remember(objectKey, etag, stored)
      await publish()
      return { key, stored }
    },

    /** Revokes a key of a tenant. This instance refuses it at once. @returns whether there was one */
    async revoke(tenant: string, id: string): Promise<boolean> {
      const existed = await store.remove(tenant, id)
      const objectKey = apiKeyKey(tenantKey(tenant), id)
      if (!existed && !known.has(objectKey)) return false
      changes += 1
      forget(objectKey)
      tellEnded()
      await publish()
      return existed
    },

    /** Calls the listener after keys were revoked, on any instance or by `npm run api-key`. */
    onEnded(listener: () => void): void {
      endedListeners.push(listener)
    },

    /** Begins to load the keys, and to follow their changes. */
    start(): void {
      // Messages that are missed while it is not connected are made up for within the period.
      subscriber.subscribe(channel, () => {
        changes += 1
        refresh().catch(() => undefined)
      })
      void refreshOften()
    },

    stop(): void {
      stopped.abort()
      clearTimeout(timer)
    },
  }
}

export type StoredKeys = ReturnType<typeof createStoredKeys>

function callerOf(stored: StoredApiKey, isKnown: () => boolean): Caller {
  const { id, tenant, scopes, expiresAt } = stored
  return {
    kind: 'key',
    id,
    tenant,
    user: undefined,
    owner: tenant,
    // Scopes of a newer version are ignored.
    scopes: new Set(scopes.filter((candidate): candidate is Scope => scope.Check(candidate))),
    endsAtMs: expiresAt === undefined ? undefined : Date.parse(expiresAt),
    hasEnded: async () => !isKnown(),
  }
}
