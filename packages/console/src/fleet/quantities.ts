import { durationText, numberText, sizeText } from '../format/format-quantities.ts'

/** How the values of a chart are written: on its axis, and in its legend. `axis` names the unit above the axis. */
export type Quantity = { axis: string; text: (value: number) => string }

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 })
const precise = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 })

/** Formats a count or a rate: 0.4, 7.5, 17, 1,250. */
export function countText(value: number): string {
  return (value < 10 ? precise : whole).format(value)
}

export const percentText = (value: number) => `${Math.round(value)}\u00a0%`

export const count = (axis: string): Quantity => ({ axis, text: countText })
export const percent: Quantity = { axis: '% of one core', text: percentText }
export const duration = (axis: string): Quantity => ({ axis, text: durationText })
export const ratio: Quantity = { axis: '÷ slots', text: numberText }
export const bytesPerMinute: Quantity = { axis: 'bytes per minute', text: sizeText }

/** Writes a count with its noun: 1 worker, 2 workers. */
export function countedText(value: number, noun: string): string {
  return `${countText(value)} ${noun}${value === 1 ? '' : 's'}`
}
