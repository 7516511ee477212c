import { remainingText, sizeText } from '../format/format-quantities.ts'
import { needsAttention, type SendingFile } from './sending-file.ts'

/** Returns what a row says about its file. */
export function rowText(file: SendingFile): string {
  const { phase, size, problem } = file
  switch (phase) {
    case 'interrupted':
      return problem ?? `Interrupted · ${sizeText(size)}`
    case 'queued':
      return `Queued · ${sizeText(size)}`
    case 'starting':
      return file.sentBytes > 0 ? `Continuing at ${percentage(file)}` : 'Starting'
    case 'sending':
      return sendingText(file)
    case 'paused':
      return file.sentBytes > 0 ? `Paused at ${percentage(file)}` : 'Paused'
    case 'waiting-for-network':
      return problem ?? 'Waiting for the network'
    case 'sent':
      return 'Uploaded, waiting for a worker'
    case 'processing':
      return processingText(file)
    case 'ready':
      return `Ready · ${sizeText(size)}`
    case 'rejected':
      return problem ?? 'The file was rejected.'
    case 'failed':
      return problem ?? 'The file could not be processed.'
    case 'cancelled':
      return problem ?? 'Cancelled'
  }
}

/** Returns what screen readers read when a file is finished; undefined while it is not. */
export function outcomeText(file: SendingFile): string | undefined {
  if (file.phase === 'ready') return `${file.filename} is ready.`
  return needsAttention(file) ? `${file.filename}: ${rowText(file)}` : undefined
}

function sendingText(file: SendingFile): string {
  const { size, sentBytes, bytesPerSecond } = file
  const parts = [`${percentage(file)} of ${sizeText(size)}`]
  if (bytesPerSecond !== undefined && bytesPerSecond >= 1) {
    parts.push(
      `${sizeText(Math.round(bytesPerSecond))}/s`,
      remainingText((size - sentBytes) / bytesPerSecond),
    )
  }
  return parts.join(' · ')
}

function processingText({ progress }: SendingFile): string {
  switch (progress?.step) {
    case 'inspecting':
      return 'Inspecting the file'
    case 'rendering':
      return progress.total === undefined
        ? 'Rendering'
        : `Rendering: ${progress.done ?? 0} of ${progress.total} variants`
    case 'publishing':
      return 'Publishing'
    // No progress yet, or a step of a newer API than this page.
    default:
      return 'Processing'
  }
}

function percentage({ size, sentBytes }: SendingFile): string {
  return `${size > 0 ? Math.floor((sentBytes / size) * 100) : 0}\u00a0%`
}
