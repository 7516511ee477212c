import type { Rate } from './trace.ts'

type NamedTrace = { rate: Rate; highest: number; endS: number }

const minuteS = 60
const hourS = 3600

/** Rates in jobs a second. One worker with four slots processes 4.4 a second. */
export const namedTraces = {
  /** Two hours at 3 a second; every 20 minutes, 40 a second for 5 minutes. For example bulk imports. */
  burst: {
    rate: (s) => (s % (20 * minuteS) >= 5 * minuteS && s % (20 * minuteS) < 10 * minuteS ? 40 : 3),
    highest: 40,
    endS: 2 * hourS,
  },
  /** One day from 2 a second at its start to 24 after 12 hours, about a million jobs. */
  diurnal: {
    rate: (s) => 13 - 11 * Math.cos((2 * Math.PI * s) / (24 * hourS)),
    highest: 24,
    endS: 24 * hourS,
  },
  /** From 3 a second to 110 within 30 s; the excess halves every 5 minutes. For example a link that goes viral. */
  'flash-crowd': {
    rate: (s) => 3 + flash(s - 10 * minuteS) * 107,
    highest: 110,
    endS: hourS,
  },
} as const satisfies Record<string, NamedTrace>

export type TraceName = keyof typeof namedTraces

function flash(s: number): number {
  if (s < 0) return 0
  return s < 30 ? s / 30 : 2 ** -((s - 30) / (5 * minuteS))
}
