import { once } from 'node:events'
import { get } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { ownProxyLine } from './proxy-line.ts'

/** Time between the starts of two checks of an instance, in ms. A check that takes longer delays the next one. */
const periodMs = 1_000
/** Time in which an instance must respond, in ms. */
const timeoutMs = 2_000
/** A check that times out this much too late, in ms, is void: this process did not run itself (see below). */
const maxTimerDelayMs = 500

/**
 * Sends `GET /health` to an instance every second, each time on a new connection. A response other than 200, and no
 * complete response within 2 s, is a missed check.
 *
 * This process may stop as well: Ctrl-Z in a terminal stops it without the services, and some systems count the time
 * in which the machine sleeps. Then a response may have come in time without being read. Such a check says nothing
 * about the instance and is void.
 *
 * @param deps.port the instance's loopback port
 * @param deps.onPassed called after each good check
 * @param deps.onMissed called after each missed check, with its start in ms of `performance.now()`
 * @returns `stop()`, after which neither is called
 */
export function startHealthChecks(deps: {
  port: number
  onPassed: () => void
  onMissed: (startedAt: number) => void
}) {
  const stopping = new AbortController()
  const run = async () => {
    let waitMs = periodMs
    for (;;) {
      await delay(waitMs, undefined, { signal: stopping.signal })
      const startedAt = performance.now()
      const passed = await isHealthy(deps.port, stopping.signal)
      stopping.signal.throwIfAborted()
      const durationMs = performance.now() - startedAt
      if (passed) deps.onPassed()
      else if (durationMs < timeoutMs + maxTimerDelayMs) deps.onMissed(startedAt)
      waitMs = Math.max(0, periodMs - durationMs)
    }
  }
  run().catch((error: unknown) => {
    if (!stopping.signal.aborted) throw error
  })
  return { stop: () => stopping.abort() }
}

async function isHealthy(port: number, stopping: AbortSignal): Promise<boolean> {
  const signal = AbortSignal.any([stopping, AbortSignal.timeout(timeoutMs)])
  const createConnection = () => {
    const socket = connect({ host: '127.0.0.1', port })
    socket.write(ownProxyLine)
    return socket
  }
  const request = get({ host: '127.0.0.1', port, path: '/health', createConnection, signal })
  // An abort while the response is read is an error of both.
  request.on('error', () => {})
  try {
    const [response] = await once(request, 'response')
    for await (const _chunk of response);
    return response.statusCode === 200
  } catch {
    return false
  }
}
