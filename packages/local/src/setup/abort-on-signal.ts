/**
 * The terminal sends Ctrl-C to all processes, and npm forwards it as well. Two signals within this time, in ms,
 * count as one.
 */
const duplicateSignalMs = 500

/**
 * Returns a signal that aborts at the first SIGINT, SIGTERM or SIGHUP. A later one exits immediately.
 *
 * @param print prints one line for the user
 */
export function abortOnSignal(print: (line: string) => void): AbortSignal {
  const stopping = new AbortController()
  let firstAt: number | undefined
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      firstAt ??= performance.now()
      if (stopping.signal.aborted && performance.now() - firstAt > duplicateSignalMs) {
        print('Stopped at once. Jobs that were running begin again at the next start.')
        process.exit(1)
      }
      stopping.abort()
    })
  }
  return stopping.signal
}
