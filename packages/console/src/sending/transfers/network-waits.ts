import type { Connection, ConnectionState } from '../network/connection.ts'
import type { TotalRate } from '../network/total-rate.ts'
import { isActive } from '../sending-file.ts'
import type { SendFailures } from './send-failures.ts'
import type { SendTasks } from './send-tasks.ts'
import type { SendingList } from './sending-list.ts'

/** A file without progress for this long makes the page ask whether the API answers, in ms. */
const stalledMs = 3_000

/** Shows which files wait for the network, and lets them go on when it is back. */
export function createNetworkWaits(deps: {
  list: SendingList
  connection: Connection
  tasks: SendTasks
  failures: SendFailures
  totalRate: TotalRate
}) {
  const { list, connection, tasks, failures, totalRate } = deps
  let previous = connection.state.peek()
  let stallTimer: ReturnType<typeof setInterval> | undefined

  connection.state.subscribe(onConnection)

  function onConnection(state: ConnectionState): void {
    const before = previous
    previous = state
    if (state === before) return
    if (state === 'online') onOnline(before)
    // The storage may be reachable although the API is not.
    else showWaiting((key) => state === 'offline' || isStalled(key))
  }

  function onOnline(before: ConnectionState): void {
    for (const { key } of list.filter(({ phase }) => phase === 'waiting-for-network')) {
      if (tasks.stateOf(key) !== 'sending') continue
      list.change(key, { phase: 'starting', problem: undefined })
      tasks.expectProgress(key)
      // The client waits some time before its next attempt. After the browser was offline, it does not.
      if (before === 'unreachable') tasks.hurry(key)
    }
    failures.resetDelay()
    failures.endWait()
  }

  function showWaiting(isWaiting: (key: string) => boolean): void {
    for (const { key } of list.filter((file) => isActive(file) && isWaiting(file.key))) {
      list.change(key, { phase: 'waiting-for-network' })
    }
  }

  function isStalled(key: string): boolean {
    return tasks.idleMs(key) >= stalledMs
  }

  function checkForStalls(): void {
    const isAnyStalled = list.some((file) => isActive(file) && isStalled(file.key))
    if (!isAnyStalled || connection.state.peek() === 'offline') return
    if (connection.state.peek() === 'online') connection.suspect()
    else showWaiting(isStalled)
  }

  return {
    /** An API that is gone is noticed before the client gives up. */
    watchForStalls(): void {
      if (list.some(isActive)) {
        stallTimer ??= setInterval(checkForStalls, stalledMs)
        return
      }
      clearInterval(stallTimer)
      stallTimer = undefined
      totalRate.clear()
    },
  }
}

export type NetworkWaits = ReturnType<typeof createNetworkWaits>
