import type { Upload, UploadProgress } from '@millrace/client'
import { timeText } from '../format/format-quantities.ts'
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
  action?: 'erase'
}

/** Returns the state of a row. */
export function stateLine({ upload, progress }: Row): StateLine {
  if (upload?.state === 'processing') return lineOfProcessing(progress)
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
