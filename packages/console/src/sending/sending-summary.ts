import { remainingText, sizeText } from '../format/format-quantities.ts'
import { isDone, isProcessed, isUnsent, needsAttention, type SendingFile } from './sending-file.ts'

/** All files in one line. */
export type Summary = {
  /** Shown in the title: `Sending 3 of 20 files`. */
  title: string
  /** Changes often: `34 % · 12 MB/s · 2 min left`. */
  detail: string
  /** The share of the bytes that S3 has, from 0 to 1; undefined if nothing is being sent. */
  progress: number | undefined
  tone: 'busy' | 'waiting' | 'good' | 'bad'
  unsent: number
  paused: number
  interrupted: number
  /** Whether S3 has files that are not processed yet. */
  isBusy: boolean
  /** Whether nothing happens any more, and nobody must decide anything. */
  isOver: boolean
}

/** @param batch the files that are counted together */
export function summaryOf(
  files: readonly SendingFile[],
  batch: number,
  bytesPerSecond: number | undefined,
): Summary {
  const own = files.filter(
    (file) => file.batch === batch && file.phase !== 'interrupted' && file.phase !== 'cancelled',
  )
  const unsent = own.filter(isUnsent)
  const counts = {
    unsent: unsent.length,
    paused: unsent.filter(({ phase }) => phase === 'paused').length,
    interrupted: files.filter(({ phase }) => phase === 'interrupted').length,
    isBusy: files.some(isProcessed),
    isOver: files.every(isDone),
  }
  if (unsent.length > 0) return { ...sendingSummary(own, unsent, counts.paused, bytesPerSecond), ...counts }
  const processed = files.filter(isProcessed).length
  const problems = files.filter(needsAttention).length
  const ready = own.filter(({ phase }) => phase === 'ready').length
  const done = { detail: '', progress: undefined, ...counts }
  if (processed > 0) {
    const detail = ready > 0 ? `${ready} ready` : ''
    return { ...done, title: `Processing ${filesText(processed)}`, detail, tone: 'busy' }
  }
  if (problems > 0) {
    const title = `${filesText(problems)} ${problems === 1 ? 'needs' : 'need'} attention`
    return { ...done, title, detail: ready > 0 ? `${ready} uploaded` : '', tone: 'bad' }
  }
  if (counts.interrupted > 0) {
    const verb = counts.interrupted === 1 ? 'was' : 'were'
    return { ...done, title: `${filesText(counts.interrupted)} ${verb} interrupted`, tone: 'waiting' }
  }
  if (ready > 0) return { ...done, title: `${filesText(ready)} uploaded`, tone: 'good' }
  return { ...done, title: 'Cancelled', tone: 'waiting' }
}

function sendingSummary(
  own: readonly SendingFile[],
  unsent: readonly SendingFile[],
  paused: number,
  bytesPerSecond: number | undefined,
): Pick<Summary, 'title' | 'detail' | 'progress' | 'tone'> {
  const counted = own.filter((file) => !needsAttention(file) || file.sentBytes === file.size)
  const total = counted.reduce((sum, { size }) => sum + size, 0)
  const sent = counted.reduce((sum, { sentBytes }) => sum + sentBytes, 0)
  const progress = total > 0 ? sent / total : 0
  const percentage = `${Math.floor(progress * 100)} %`
  const waiting = unsent.filter(({ phase }) => phase === 'waiting-for-network').length
  if (paused === unsent.length) {
    return { title: `${filesText(paused)} paused`, detail: percentage, progress, tone: 'waiting' }
  }
  const isAnySending = unsent.some(({ phase }) => phase === 'starting' || phase === 'sending')
  if (waiting > 0 && !isAnySending) {
    const detail = `${filesText(unsent.length)} left · ${percentage}`
    return { title: 'Waiting for the network', detail, progress, tone: 'waiting' }
  }
  const position = Math.min(counted.length - unsent.length + 1, counted.length)
  const title = counted.length === 1 ? 'Sending 1 file' : `Sending ${position} of ${counted.length}`
  const rate =
    bytesPerSecond === undefined || bytesPerSecond < 1
      ? []
      : [`${sizeText(Math.round(bytesPerSecond))}/s`, remainingText((total - sent) / bytesPerSecond)]
  return { title, detail: [percentage, ...rate].join(' · '), progress, tone: 'busy' }
}

function filesText(count: number): string {
  return count === 1 ? '1 file' : `${count} files`
}
