import { readFile } from 'node:fs/promises'
import { findFfmpeg } from '@millrace/worker/media/find-ffmpeg.ts'

/** Reads a file of `tests/fixtures/media`. Its README says how they were made. */
export async function mediaFile(name: string): Promise<Buffer> {
  return readFile(new URL(`../../fixtures/media/${name}`, import.meta.url))
}

/** ffmpeg, if the machine has one. */
export const systemFfmpeg = findFfmpeg(undefined, process.env['PATH'])

/** Serves ranges of a file in memory, as S3 does, and counts the requests. */
export function rangesOf(file: Buffer) {
  const ranges: [start: number, end: number][] = []
  return {
    size: file.length,
    ranges,
    readRange(start: number, end: number): Buffer {
      ranges.push([start, end])
      return file.subarray(start, end)
    },
  }
}

/**
 * Returns a file that is larger by a box of zeros before its last box. It takes no memory.
 * @param at where the last box starts
 */
export function withGap(file: Buffer, at: number, gapBytes: number) {
  const gap = Buffer.alloc(16)
  gap.writeUInt32BE(1)
  gap.write('free', 4, 'latin1')
  gap.writeBigUInt64BE(BigInt(gapBytes), 8)
  const start = Buffer.concat([file.subarray(0, at), gap])
  const size = file.length + gapBytes
  const ranges: [start: number, end: number][] = []
  return {
    size,
    ranges,
    readRange(from: number, to: number): Buffer {
      ranges.push([from, to])
      const part = Buffer.alloc(to - from)
      start.copy(part, 0, Math.min(from, start.length))
      const tail = size - (file.length - at)
      if (to > tail) file.copy(part, Math.max(0, tail - from), at + Math.max(0, from - tail), at + to - tail)
      return part
    },
  }
}
