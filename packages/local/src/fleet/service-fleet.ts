import type { Fleet } from '@millrace/shared/fleet/scaling-policy.ts'
import type { ServiceProcess } from './service-process.ts'

/** Callbacks with which a service informs its fleet. */
export type ServiceEvents = { onReady(): void; onExit(): void }

/** `readyAt`: milliseconds of `performance.now()`. */
type Member = { number: number; service: ServiceProcess; readyAt: number | undefined }

/**
 * Runs a variable number of services of one kind: `worker-1`, `worker-2`, … Each one is restarted when it exits.
 * When the fleet shrinks, the newest services stop first, and each drains before it exits.
 *
 * @param deps.size how many services to start with
 * @param deps.warmupMs how long a service must have been ready to count as in service, in milliseconds
 * @param deps.start starts one service; it must call the events
 * @returns besides `resize`: `ready` of the first services; `failed`, which rejects if a service cannot be
 *   restarted; and `close()`
 */
export function createServiceFleet(deps: {
  kind: string
  size: number
  warmupMs: number
  start: (name: string, events: ServiceEvents) => ServiceProcess
}) {
  const members: Member[] = []
  /** Services that are stopping, by number. */
  const stopping = new Map<number, Promise<void>>()
  const failure = Promise.withResolvers<never>()
  // Callers may ignore this promise: without a handler, Node would report an unhandled rejection.
  failure.promise.catch(() => {})

  function add(): void {
    let number = 1
    while (stopping.has(number) || members.some((member) => member.number === number)) number += 1
    const events = {
      onReady: () => setReady(number, performance.now()),
      onExit: () => setReady(number, undefined),
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
    const stopped = member.service.stop().finally(() => stopping.delete(member.number))
    stopped.catch(failure.reject)
    stopping.set(member.number, stopped)
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
      await Promise.all(stopping.values())
    },
  }
}

export type ServiceFleet = ReturnType<typeof createServiceFleet>
