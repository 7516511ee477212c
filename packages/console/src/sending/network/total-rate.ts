import { signal } from '@preact/signals'
import { createTransferRate } from './transfer-rate.ts'

/** Measures the rate of all files together. */
export function createTotalRate() {
  const bytesPerSecond = signal<number | undefined>(undefined)
  let rate = createTransferRate()
  let sentBytes = 0

  return {
    /** Undefined while nothing is being sent. */
    bytesPerSecond,

    add(bytes: number): void {
      sentBytes += bytes
      bytesPerSecond.value = rate.update(sentBytes)
    },

    /** Forgets what was sent before. */
    restart(): void {
      rate = createTransferRate()
    },

    /** Shows that nothing is being sent. */
    clear(): void {
      bytesPerSecond.value = undefined
    },
  }
}

export type TotalRate = ReturnType<typeof createTotalRate>
