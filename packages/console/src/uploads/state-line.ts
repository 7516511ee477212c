import type { Upload } from '@millrace/client'
import { momentText, remainingText, sizeText } from '../format.ts'
import type { Transfer } from './transfers.ts'
import type { Row } from './upload-list.ts'

/** How a row stands, in words. */
export type StateLine = {
  text: string
  /** More of it, which changes too often to be read out. */
  detail?: string
  tone: 'waiting' | 'busy' | 'good' | 'bad'
  /** From 0 to 1, or null where something is going on that has no measure. */
  progress?: number | null
  /** What can be done about it from here. */
  action?: 'cancel' | 'retry' | 'remove'
}

/** What to say of a row. The API's word counts as soon as it has seen the bytes, and until then the page's. */
export function stateLine({ upload, transfer, size }: Row): StateLine {
  if (upload && upload.state !== 'awaiting') return lineOfUpload(upload)
  if (transfer) return lineOfTransfer(transfer, size)
  return upload ? lineOfUpload(upload) : { text: 'Waiting', tone: 'waiting' }
}

/** What is read out when a row comes to an end, or nothing while it is on its way. */
export function outcomeText(row: Row): string | undefined {
  const { text, tone } = stateLine(row)
  return tone === 'good' || tone === 'bad' ? `${row.filename}: ${text}` : undefined
}

function lineOfUpload({ state, error, variants, expiresAt }: Upload): StateLine {
  switch (state) {
    case 'awaiting':
      return {
        text: 'Waiting for its bytes',
        ...(expiresAt && { detail: `until ${momentText(Date.parse(expiresAt))}` }),
        tone: 'waiting',
        action: 'remove',
      }
    case 'received':
      return { text: 'Waiting for a worker', tone: 'waiting', progress: null }
    case 'processing':
      return { text: 'Processing', tone: 'busy', progress: null }
    case 'ready':
      return { text: variants.length > 0 ? 'Ready' : 'Ready, kept as it is', tone: 'good', action: 'remove' }
    case 'rejected':
      return { text: error?.message ?? 'The file was rejected.', tone: 'bad', action: 'remove' }
    case 'failed':
      return { text: error?.message ?? 'The file could not be processed.', tone: 'bad', action: 'remove' }
  }
}

function lineOfTransfer(transfer: Transfer, size: number): StateLine {
  switch (transfer.phase) {
    case 'queued':
      return { text: 'Waiting for its turn', tone: 'waiting', action: 'cancel' }
    case 'starting':
      return { text: 'Starting', tone: 'busy', progress: 0, action: 'cancel' }
    case 'sending':
      return lineOfSending(transfer, size)
    case 'sent':
      return { text: 'Sent, waiting to be received', tone: 'busy', progress: 1 }
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
