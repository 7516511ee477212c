import { isActive, type SendingFile } from '../sending-file.ts'

/**
 * Files above this size, in bytes, are sent in parts. Four parts of a file are sent at once, so one such file and two small
 * ones use all six connections that browsers open to a host (HTTP/1.1).
 */
const maxSmallBytes = 8 * 1024 ** 2
const concurrentLargeFiles = 1
const concurrentSmallFiles = 2

/** Returns the queued files whose turn has come. */
export function nextToSend(files: readonly SendingFile[]): SendingFile[] {
  const active = files.filter(isActive)
  const queued = files.filter(({ phase }) => phase === 'queued')
  const free = (all: SendingFile[], limit: number) => Math.max(0, limit - all.length)
  return [
    ...queued.filter(isLarge).slice(0, free(active.filter(isLarge), concurrentLargeFiles)),
    ...queued.filter(isSmall).slice(0, free(active.filter(isSmall), concurrentSmallFiles)),
  ]
}

function isLarge({ size }: SendingFile): boolean {
  return size > maxSmallBytes
}

function isSmall(file: SendingFile): boolean {
  return !isLarge(file)
}
