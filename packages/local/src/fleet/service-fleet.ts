import type { Fleet } from '@millrace/shared/fleet/scaling-policy.ts'
import type { ServiceProcess } from './service-process.ts'

/** What a service tells the fleet that it belongs to. */
export type ServiceEvents = { onReady(): void; onGone(): void }

/** `readyAt`: milliseconds of `performance.now()`. */
type Member = { number: number; service: ServiceProcess; readyAt: number | undefined }

/**
 * Services of one kind, as many as are wanted: `worker-1`, `worker-2`, … Each is kept running; those that are too
 * many are stopped, the newest first, and have the time that they need for it.
 *
 * @param deps.warmupMs how long one must have been ready to count as in service, in milliseconds
 * @param deps.start starts one; it must pass the events on
 * @returns besides `resize`: `ready` of the first ones, and `failed`, which rejects when one cannot be kept running
 */
export function createServiceFleet(deps: {
  kind: string
  size: number
  warmupMs: number
  start: (name: string, events: ServiceEvents) => ServiceProcess
}) {
  const members: Member[] = []
  const leaving = new Map<number, Promise<void>>()
  const failure = Promise.withResolvers<never>()
  // It is for whoever waits; nobody waiting is not an error of its own.
  failure.promise.catch(() => {})

  function add(): void {
    let number = 1
    while (leaving.has(number) || members.some((member) => member.number === number)) number += 1
    const events = {
      onReady: () => setReady(number, performance.now()),
      onGone: () => setReady(number, undefined),
    }
    const service = deps.start(`${deps.kind}-${number}`, events)
    service.failed.catch(failure.reject)
    service.ready.catch(failure.reject)
    members.push({ number, service, readyAt: undefined })
  }

  function setReady(number: number, readyAt: number | undefined): void {
    for (const member of members) if (member.number === number) member.readyAt = readyAt
  }

  function removeNewest(): void {
    const member = members.pop()
    if (!member) return
    const stopped = member.service.stop().finally(() => leaving.delete(member.number))
    stopped.catch(failure.reject)
    leaving.set(member.number, stopped)
  }

  function resize(size: number): void {
    while (members.length < size) add()
    while (members.length > size) removeNewest()
  }

  resize(deps.size)
  return {
    ready: Promise.all(members.map(({ service }) => service.ready)),
    failed: failure.promise,
    resize,
    size(): Fleet {
      const warmSince = performance.now() - deps.warmupMs
      const inService = members.filter(
        ({ readyAt = Number.POSITIVE_INFINITY }) => readyAt <= warmSince,
      ).length
      return { desired: members.length, inService, starting: members.length - inService }
    },
    async close(): Promise<void> {
      resize(0)
      await Promise.all(leaving.values())
    },
  }
}

export type ServiceFleet = ReturnType<typeof createServiceFleet>
