import type { UploadProgress } from '@millrace/client'

/**
 * What becomes of a file. `sent`: S3 has all its bytes, and no worker has begun. `interrupted`: an earlier page was closed
 * while it sent the file, and this page does not have it yet. Otherwise as its upload's states are named.
 */
export type Phase =
  | 'interrupted'
  | 'queued'
  | 'starting'
  | 'sending'
  | 'paused'
  | 'waiting-for-network'
  | 'sent'
  | 'processing'
  | 'ready'
  | 'rejected'
  | 'failed'
  | 'cancelled'

/** One file that this browser sends. Each change makes a new object. */
export type SendingFile = {
  readonly key: string
  /** With its path, if it belongs to a folder: `album/summer.jpg`. */
  readonly filename: string
  /** Bytes. */
  readonly size: number
  readonly phase: Phase
  readonly sentBytes: number
  readonly bytesPerSecond?: number | undefined
  readonly uploadId?: string | undefined
  /** What a worker does, while `phase` is `processing`. */
  readonly progress?: UploadProgress | undefined
  /** Why it was rejected, failed or waits, as a sentence. */
  readonly problem?: string | undefined
  /** Whether `retry` can help a file that failed. */
  readonly retryable?: boolean | undefined
  /** Whether the browser can open an interrupted file again without the user choosing it. */
  readonly reopens?: boolean | undefined
  /** Files that were added while others were being sent have the same number: they are counted together. */
  readonly batch: number
}

const unsentPhases: ReadonlySet<Phase> = new Set([
  'queued',
  'starting',
  'sending',
  'paused',
  'waiting-for-network',
])
const activePhases: ReadonlySet<Phase> = new Set(['starting', 'sending', 'waiting-for-network'])

/** Whether this page has the file, and S3 does not have all of it yet. */
export function isUnsent({ phase }: SendingFile): boolean {
  return unsentPhases.has(phase)
}

/** Whether the file's turn to be sent has come. */
export function isActive({ phase }: SendingFile): boolean {
  return activePhases.has(phase)
}

/** Whether S3 has the file, and its processing is not finished. */
export function isProcessed({ phase }: SendingFile): boolean {
  return phase === 'sent' || phase === 'processing'
}

/** Whether somebody must decide what becomes of the file. */
export function needsAttention({ phase }: SendingFile): boolean {
  return phase === 'rejected' || phase === 'failed'
}

/** Whether nothing more happens to the file by itself, and nothing needs to. */
export function isDone({ phase }: SendingFile): boolean {
  return phase === 'ready' || phase === 'cancelled'
}
