/** How often the line on a terminal is drawn, in ms. */
const drawPeriodMs = 100
/** How often a line is printed where there is no terminal, in ms. */
const printPeriodMs = 5_000
/** Columns of a terminal that does not say how many it has. */
const usualColumns = 80
/** Width of the bar, in characters. */
const barWidth = 24

/** Where progress is shown: usually standard error. `columns` is undefined if it is no terminal. */
export type ProgressStream = {
  isTTY?: boolean | undefined
  columns?: number | undefined
  write(text: string): unknown
}

/** How far something is. */
export type ProgressState = {
  done: number
  /** What `done` will be in the end, as far as is known; undefined: nobody knows. */
  total?: number | undefined
  /** What is shown behind the numbers. */
  text: string
}

/**
 * Shows progress: on a terminal as one line that is drawn again and again, elsewhere as a line of text each five seconds, for
 * logs.
 *
 * @param deps.isTerminal false also where a terminal is only imitated, as in CI
 * @param deps.now a monotonic clock, in ms
 */
export function createProgress(deps: { stream: ProgressStream; isTerminal: boolean; now?: () => number }) {
  const { stream, isTerminal, now = () => performance.now() } = deps
  const startedAtMs = now()
  const periodMs = isTerminal ? drawPeriodMs : printPeriodMs
  let shownAtMs = isTerminal ? Number.NEGATIVE_INFINITY : startedAtMs
  let isDrawn = false

  return {
    /** Shows a state, unless the last one was shown just now. */
    show(state: ProgressState): void {
      if (now() - shownAtMs < periodMs) return
      shownAtMs = now()
      if (!isTerminal) {
        stream.write(`${describe(state)}\n`)
        return
      }
      isDrawn = true
      // A longer line would wrap, and could not be drawn over.
      const line = `${bar(state)}${describe(state)}`.slice(0, (stream.columns || usualColumns) - 1)
      // ECMA-48: erase in line. So a shorter line leaves nothing of a longer one.
      stream.write(`\r\x1b[2K${line}`)
    },
    /** Removes the line, so that others can be printed. */
    clear(): void {
      if (isDrawn) stream.write('\r\x1b[2K')
      isDrawn = false
    },
  }

  function describe({ done, total, text }: ProgressState): string {
    const seconds = (now() - startedAtMs) / 1000
    const perSecond = done / Math.max(seconds, 0.001)
    const isEstimated = total !== undefined && total > done && perSecond > 0 && seconds >= 2
    const left = isEstimated ? `, ${formatDuration((total - done) / perSecond)} left` : ''
    const of = total === undefined ? '' : ` of about ${Math.max(done, total).toLocaleString('en')}`
    return `${done.toLocaleString('en')}${of} ${text}${left}`
  }
}

export type Progress = ReturnType<typeof createProgress>

function bar({ done, total }: ProgressState): string {
  if (total === undefined || total <= 0) return ''
  // The total is an estimate: only the end is the end.
  const share = Math.min(done / total, 0.99)
  const full = Math.floor(share * barWidth)
  const percent = String(Math.floor(share * 100)).padStart(2)
  return `[${'#'.repeat(full)}${'.'.repeat(barWidth - full)}] ${percent} %  `
}

function formatDuration(seconds: number): string {
  const minutes = Math.floor(seconds / 60)
  if (minutes < 1) return `${Math.ceil(seconds)} s`
  if (minutes < 60) return `${minutes} min`
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}
