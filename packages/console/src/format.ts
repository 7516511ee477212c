const units = ['kB', 'MB', 'GB', 'TB']

/** Bytes as people read them, in powers of ten: 1234567 → "1.2 MB". */
export function sizeText(bytes: number): string {
  if (bytes < 1000) return `${bytes}\u00a0B`
  const power = Math.min(Math.floor(Math.log10(bytes) / 3), units.length)
  const value = bytes / 1000 ** power
  return `${value < 10 ? value.toFixed(1) : Math.round(value)}\u00a0${units[power - 1]}`
}

/** A time that is left: 75 s → "about 2 min left". @param seconds finite */
export function remainingText(seconds: number): string {
  if (seconds < 1) return 'almost there'
  if (seconds < 60) return `${Math.ceil(seconds)} s left`
  if (seconds < 3600) return `about ${Math.ceil(seconds / 60)} min left`
  return `about ${Math.ceil(seconds / 3600)} h left`
}

/** A moment in the reader's own way of writing. @param at milliseconds since 1970 */
export function momentText(at: number): string {
  const isToday = new Date(at).toDateString() === new Date().toDateString()
  return new Intl.DateTimeFormat(undefined, {
    timeStyle: 'short',
    ...(!isToday && { dateStyle: 'medium' }),
  }).format(at)
}

/** Width and height, in one piece: "4032 × 3024". */
export function pixelsText(width: number, height: number): string {
  return `${width}\u00a0×\u00a0${height}`
}

/** A duration, as short as it may be: 7.3 ms, 240 ms, 1.5 s, 3 min. @param ms milliseconds */
export function durationText(ms: number): string {
  if (ms < 1000) return `${shortNumber(ms)}\u00a0ms`
  if (ms < 120_000) return `${shortNumber(ms / 1000)}\u00a0s`
  return `${Math.round(ms / 60_000)}\u00a0min`
}

/** Two digits, or all before the point: 0.43, 2.5, 17. */
export function shortNumber(value: number): string {
  return String(value < 10 ? Number(value.toPrecision(2)) : Math.round(value))
}
