import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { createRedisLease } from '@millrace/shared/connections/redis-lease.ts'
import type { ListOwnerContents } from '@millrace/shared/ledger/list-owner-contents.ts'
import type { EraseUser } from '@millrace/shared/lifecycle/erase-user.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { DeadlineError, withDeadline } from '@millrace/shared/service/deadline.ts'
import type { TenantUsers } from '@millrace/shared/tenants/tenant-users.ts'
import type { UserErasure, UserErasures } from '@millrace/shared/tenants/user-erasures.ts'
import { largestUploadId, newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import type { UploadIndex } from '@millrace/shared/uploads/upload-index.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'

/** How long a request waits for the end of an erasure, in ms. */
const defaultWaitMs = 10_000
/** In ms. Renewed with every batch of uploads, which may take some seconds while S3 is slow. */
const leaseMs = 30_000
/** How often interrupted erasures are looked for, in ms. Each time costs one request to S3. */
const defaultResumeMs = 5 * 60_000

/**
 * Runs the erasures of users in the background, each on one instance of the fleet at a time. An erasure whose instance died is
 * continued by whoever asks for it, and by the next instance that looks for interrupted ones.
 *
 * @param deps.closing aborts when the instance shuts down: its erasures stop after the current batch
 * @param deps.waitMs how long a request waits for the end of an erasure, in ms
 * @param deps.resumeMs how often interrupted erasures are looked for, in ms
 */
export function createRunUserErasures(deps: {
  redis: Redis
  prefix: string
  users: Pick<TenantUsers, 'read'>
  userErasures: UserErasures
  listOwnerContents: ListOwnerContents
  index: Pick<UploadIndex, 'between'>
  eraseUser: EraseUser
  closing: AbortSignal
  log: Pick<Logger, 'info' | 'warn'>
  waitMs?: number
  resumeMs?: number
}) {
  const { redis, prefix, users, userErasures, listOwnerContents, index, eraseUser, closing, log } = deps
  const { waitMs = defaultWaitMs, resumeMs = defaultResumeMs } = deps
  /** The erasures that this instance runs, by owner. */
  const runs = new Map<string, Promise<UserErasure | undefined>>()

  /** Continues an erasure, unless another instance does. Calls share one run. @returns undefined if another one does */
  function run(erasure: UserErasure): Promise<UserErasure | undefined> {
    const { owner } = erasure
    const current = runs.get(owner)
    if (current) return current
    const started = runLeased(erasure).finally(() => runs.delete(owner))
    runs.set(owner, started)
    started.catch((error) => {
      if (!closing.aborted)
        log.warn({ err: error, event: 'user-erasure-interrupted', owner }, 'erasure of a user interrupted')
    })
    return started
  }

  async function runLeased({ owner }: UserErasure): Promise<UserErasure | undefined> {
    const key = `${prefix}:{${owner}}:erasing`
    const lease = createRedisLease({ redis, key, holder: randomUUID(), ttlMs: leaseMs })
    if (!(await lease.hold())) return undefined
    try {
      // It may have ended since it was read.
      const erasure = await userErasures.running(owner)
      if (!erasure) return await userErasures.lastFinished(owner)
      const finished = await eraseUser(erasure, async () => {
        closing.throwIfAborted()
        if (!(await lease.hold())) throw new AppError('conflict')
      })
      log.info({ event: 'user-erased', owner, uploads: finished.uploads }, 'user erased')
      return finished
    } finally {
      await lease.release().catch(() => undefined)
    }
  }

  /** Waits for the end of an erasure for a while. @returns the erasure, finished or not */
  async function runForAWhile(erasure: UserErasure): Promise<UserErasure> {
    try {
      const finished = await withDeadline('The erasure of a user', waitMs, () => run(erasure))
      return finished ?? erasure
    } catch (error) {
      // It goes on, or is continued later.
      if (!(error instanceof DeadlineError)) throw error
      return (await userErasures.running(erasure.owner)) ?? erasure
    }
  }

  async function hasAnything(owner: string): Promise<boolean> {
    if (await users.read(owner)) return true
    for await (const _ of listOwnerContents(owner)) return true
    return (await index.between(owner, { before: largestUploadId, from: '' })).length > 0
  }

  async function resumeAll(): Promise<void> {
    for (const owner of await userErasures.allRunning()) {
      const erasure = await userErasures.running(owner)
      // One that fails is tried again next time.
      if (erasure) await run(erasure).catch(() => undefined)
    }
  }

  return {
    /**
     * Erases a user, or continues. Of a user that was erased, it returns the last receipt.
     * @returns undefined if there is no such user
     */
    async erase(owner: string): Promise<UserErasure | undefined> {
      const running = await userErasures.running(owner)
      if (running) return runForAWhile(running)
      if (!(await hasAnything(owner))) return userErasures.lastFinished(owner)
      const counts = { uploads: 0, versions: 0, bytes: 0, countedUpTo: '' }
      const startedAt = new Date().toISOString()
      const begun: UserErasure = { version: 1, id: newUploadId(), owner, startedAt, ...counts }
      await userErasures.save(begun)
      return runForAWhile(begun)
    },

    /** Returns an erasure, and continues it in the background if it was interrupted. */
    async find(owner: string, id: string): Promise<UserErasure | undefined> {
      const finished = await userErasures.finished(owner, id)
      if (finished) return finished
      const running = await userErasures.running(owner)
      if (running?.id !== id) return undefined
      run(running).catch(() => undefined)
      return running
    },

    resumeAll,

    /** Looks for interrupted erasures from now on, until the instance shuts down. */
    async keepResuming(): Promise<void> {
      while (!closing.aborted) {
        await resumeAll().catch((error) => {
          if (!closing.aborted) log.warn({ err: error, event: 'user-erasures-unread' }, 'erasures not listed')
        })
        // Instances that were started together do not look together for ever.
        await delay(resumeMs * (0.5 + Math.random()), undefined, { signal: closing, ref: false }).catch(
          () => undefined,
        )
      }
    },
  }
}

export type RunUserErasures = ReturnType<typeof createRunUserErasures>
