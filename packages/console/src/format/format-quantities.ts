const units = ['kB', 'MB', 'GB', 'TB']

/** Formats bytes in powers of ten: 1234567 → "1.2 MB". */
export function sizeText(bytes: number): string {
  if (bytes < 1000) return `${bytes}\u00a0B`
  const power = Math.min(Math.floor(Math.log10(bytes) / 3), units.length)
  const value = bytes / 1000 ** power
  return `${value < 10 ? value.toFixed(1) : Math.round(value)}\u00a0${units[power - 1]}`
}

/** Formats a remaining time: 75 s → "about 2 min left". @param seconds finite */
export function remainingText(seconds: number): string {
  if (seconds < 1) return 'less than 1 s left'
  if (seconds < 60) return `${Math.ceil(seconds)} s left`
  if (seconds < 3600) return `about ${Math.ceil(seconds / 60)} min left`
  return `about ${Math.ceil(seconds / 3600)} h left`
}

/** Formats a time in the browser's locale; the date only if it is not today. @param at ms since 1970 */
export function timeText(at: number): string {
  const isToday = new Date(at).toDateString() === new Date().toDateString()
  return new Intl.DateTimeFormat(undefined, {
    timeStyle: 'short',
    ...(!isToday && { dateStyle: 'medium' }),
  }).format(at)
}

/** Formats width and height without a line break: "4032 × 3024". */
export function pixelsText(width: number, height: number): string {
  return `${width}\u00a0×\u00a0${height}`
}

/** Formats a duration with a fitting unit: 7.3 ms, 240 ms, 1.5 s, 3 min. */
export function durationText(ms: number): string {
  if (ms < 1000) return `${numberText(ms)}\u00a0ms`
  if (ms < 120_000) return `${numberText(ms / 1000)}\u00a0s`
  return `${Math.round(ms / 60_000)}\u00a0min`
}

/** Formats a number with two digits, or without decimals from 10 on: 0.43, 2.5, 17. */
export function numberText(value: number): string {
  return String(value < 10 ? Number(value.toPrecision(2)) : Math.round(value))
}
