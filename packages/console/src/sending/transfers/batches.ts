import { isUnsent } from '../sending-file.ts'
import type { SendingList } from './sending-list.ts'

/** Numbers the batches of files: what is added while others are being sent is counted together with them. */
export function createBatches({ list }: { list: SendingList }) {
  let current = 0

  return {
    current: (): number => current,

    /**
     * Begins a batch, unless files are being sent.
     *
     * @returns whether it did
     */
    beginIfIdle(): boolean {
      if (list.some(isUnsent)) return false
      current += 1
      return true
    },
  }
}

export type Batches = ReturnType<typeof createBatches>
