import type { Upload, UploadProgress } from '@millrace/client'
import { remainingText, sizeText, timeText } from '../format/format-quantities.ts'
import type { Transfer } from '../sending/transfers.ts'
import type { Row } from './upload-list.ts'

/** The text and the look of a row's state. */
export type StateLine = {
  text: string
  /** Details that change too often for screen readers. */
  detail?: string
  tone: 'waiting' | 'busy' | 'good' | 'bad'
  /** From 0 to 1, or null if the work's progress cannot be measured. */
  progress?: number | null
  /** The action that the row offers. */
  action?: 'cancel' | 'retry' | 'erase'
}

/** Returns the state of a row: the page's own transfer, and from the file's arrival on the API's state. */
export function stateLine({ upload, progress, transfer, size }: Row): StateLine {
  if (upload?.state === 'processing') return lineOfProcessing(progress)
  if (upload && upload.state !== 'awaiting') return lineOfUpload(upload)
  if (transfer) return lineOfTransfer(transfer, size)
  return upload ? lineOfUpload(upload) : { text: 'Waiting', tone: 'waiting' }
}

/** Returns the sentence that screen readers read when a row is finished, or undefined while it is not. */
export function outcomeText(row: Row): string | undefined {
  const { text, tone } = stateLine(row)
  return tone === 'good' || tone === 'bad' ? `${row.filename}: ${text}` : undefined
}

function lineOfProcessing(progress?: UploadProgress): StateLine {
  const line = { text: 'Processing', tone: 'busy' } as const
  switch (progress?.step) {
    case 'inspecting':
      return { ...line, detail: 'Inspecting the file', progress: null }
    case 'rendering': {
      const { done, total } = progress
      if (done === undefined || total === undefined) return { ...line, detail: 'Rendering', progress: null }
      return { ...line, detail: `Rendering: ${done} of ${total} variants`, progress: done / total }
    }
    case 'publishing':
      return { ...line, detail: 'Publishing', progress: 1 }
    // No progress yet, or a step of a newer API than this page.
    default:
      return { ...line, progress: null }
  }
}

function lineOfUpload({ state, error, variants, expiresAt }: Upload): StateLine {
  switch (state) {
    case 'awaiting':
      return {
        text: 'Waiting for the file',
        ...(expiresAt && { detail: `until ${timeText(Date.parse(expiresAt))}` }),
        tone: 'waiting',
        action: 'erase',
      }
    case 'received':
      return { text: 'Uploaded, waiting for a worker', tone: 'waiting', progress: null }
    case 'processing':
      return lineOfProcessing()
    case 'ready':
      return {
        text: variants.length > 0 ? 'Ready' : 'Ready (stored, no variants)',
        tone: 'good',
        action: 'erase',
      }
    case 'rejected':
      return { text: error?.message ?? 'The file was rejected.', tone: 'bad', action: 'erase' }
    case 'failed':
      return { text: error?.message ?? 'The file could not be processed.', tone: 'bad', action: 'erase' }
  }
}

function lineOfTransfer(transfer: Transfer, size: number): StateLine {
  switch (transfer.phase) {
    case 'queued':
      return { text: 'Queued', tone: 'waiting', action: 'cancel' }
    case 'starting':
      return { text: 'Starting upload', tone: 'busy', progress: 0, action: 'cancel' }
    case 'sending':
      return lineOfSending(transfer, size)
    case 'sent':
      return { text: 'Uploaded, waiting for confirmation', tone: 'busy', progress: 1 }
    case 'cancelled':
      return { text: 'Cancelled', tone: 'waiting', action: 'retry' }
    case 'failed':
      return { text: transfer.problem, tone: 'bad', ...(transfer.retryable && { action: 'retry' }) }
  }
}

function lineOfSending(transfer: { sentBytes: number; bytesPerSecond: number | undefined }, size: number) {
  const { sentBytes, bytesPerSecond } = transfer
  const progress = size > 0 ? sentBytes / size : 0
  const parts = [`${sizeText(sentBytes)} of ${sizeText(size)}`]
  if (bytesPerSecond !== undefined && bytesPerSecond > 0) {
    parts.push(
      `${sizeText(Math.round(bytesPerSecond))}/s`,
      remainingText((size - sentBytes) / bytesPerSecond),
    )
  }
  const line: StateLine = {
    text: `Uploading ${Math.floor(progress * 100)} %`,
    detail: parts.join(' · '),
    tone: 'busy',
    progress,
    action: 'cancel',
  }
  return line
}
