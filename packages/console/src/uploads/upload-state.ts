import type { Upload, UploadProgress } from '@millrace/client'
import type { Tone } from '../design/badge.tsx'
import type { UploadState } from './store/upload-query.ts'

/** Each state in a word, and in a sentence for those who meet it first. */
export const stateWords: Record<UploadState, { word: string; tone: Tone; meaning: string }> = {
  awaiting: {
    word: 'Waiting for file',
    tone: 'plain',
    meaning: 'Announced. Its bytes have not arrived yet.',
  },
  received: { word: 'Queued', tone: 'plain', meaning: 'The file has arrived and waits for a worker.' },
  processing: {
    word: 'Processing',
    tone: 'busy',
    meaning: 'A worker inspects the file and renders its variants.',
  },
  ready: { word: 'Ready', tone: 'good', meaning: 'The file passed inspection and can be downloaded.' },
  rejected: {
    word: 'Rejected',
    tone: 'bad',
    meaning: 'The file itself is the reason. Processing it again helps only if its preset has changed.',
  },
  failed: {
    word: 'Failed',
    tone: 'warn',
    meaning: 'The file is not the reason: something failed while it was processed. Process it again.',
  },
}

/** How far the processing of an upload is. `done` is from 0 to 1; undefined if it cannot be measured. */
export function describeProgress(progress: UploadProgress | undefined): { text: string; done?: number } {
  switch (progress?.step) {
    case 'inspecting':
      return { text: 'Inspecting the file' }
    case 'rendering': {
      const { done, total } = progress
      if (done === undefined || total === undefined) return { text: 'Rendering' }
      return { text: `Rendering: ${done} of ${total} variants`, done: done / total }
    }
    case 'publishing':
      return { text: 'Publishing', done: 1 }
    // No progress yet, or a step of a newer API than this page.
    default:
      return { text: 'Processing' }
  }
}

/** Returns the sentence that screen readers read when an upload is finished; undefined while it is not. */
export function outcomeText({ filename, state, error }: Upload): string | undefined {
  if (state === 'ready') return `${filename} is ready.`
  if (state === 'rejected' || state === 'failed')
    return `${filename}: ${stateWords[state].word}. ${error?.message ?? ''}`
  return undefined
}
