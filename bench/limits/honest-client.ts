import { setTimeout as delay } from 'node:timers/promises'

const fileBytes = 64 * 1024
/** One upload every so often, in ms. */
const intervalMs = 200
const timeoutMs = 10_000

/** What an honest client saw: durations of its uploads in ms, and how many of them were refused or timed out. */
export type HonestResult = { p99Ms: number; sent: number; failed: number }

/**
 * Uploads small files one after another while an attack runs, from an address and with a session of its own.
 *
 * @param url the API's origin
 * @returns a function that stops the client and returns what it saw
 */
export async function startHonestClient(url: string): Promise<() => Promise<HonestResult>> {
  const stopping = new AbortController()
  const durationsMs: number[] = []
  let failed = 0
  const { headers } = await fetch(`${url}/session`)
  const cookie = headers.getSetCookie()[0]?.split(';')[0] ?? ''
  const running = run()
  return async () => {
    stopping.abort()
    await running
    const sorted = durationsMs.toSorted((a, b) => a - b)
    const p99Ms = sorted[Math.ceil(sorted.length * 0.99) - 1] ?? Number.NaN
    return { p99Ms, sent: durationsMs.length + failed, failed }
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      const startedAtMs = performance.now()
      if (await upload()) durationsMs.push(performance.now() - startedAtMs)
      else failed += 1
      await delay(intervalMs, undefined, { signal: stopping.signal }).catch(() => undefined)
    }
  }

  async function upload(): Promise<boolean> {
    try {
      const response = await fetch(`${url}/upload?filename=honest.bin`, {
        method: 'POST',
        headers: { cookie, 'x-forwarded-for': '198.51.100.1', 'content-type': 'application/octet-stream' },
        body: new Uint8Array(fileBytes),
        signal: AbortSignal.timeout(timeoutMs),
      })
      await response.arrayBuffer()
      return response.ok
    } catch {
      // Refused connection, reset or timeout: the client counts it and goes on.
      return false
    }
  }
}
