/**
 * What a file's own structure says about it, without decoding: markers, lengths and offsets against the bytes that are
 * there. `reason` says where a file ends too early or what contradicts itself, for the log.
 */
export type Structure = {
  state: 'whole' | 'truncated' | 'damaged'
  reason?: string
  /** The parts whose number is limited before decoding, since each costs time whatever the image's size. */
  parts?: { name: PartName; count: number }
  /** What the owner should know of a file that is whole: a sentence. */
  warning?: string
}

export type PartName = keyof typeof partLimits

/**
 * Limits of a file's parts. A progressive JPEG of an encoder has some 10 scans, and libjpeg's own transformations up to
 * 18; one with 600 takes 11 s of CPU. Long screen recordings as GIF have some 3,000 frames. A page of a TIFF costs a
 * directory. An encoder that writes a PNG of 256 MB in chunks of 4 kB makes 65,000.
 */
export const partLimits = { scans: 100, frames: 5_000, pages: 5_000, chunks: 100_000 } as const

export function whole(parts?: Structure['parts']): Structure {
  return { state: 'whole', ...(parts && { parts }) }
}

export function truncated(reason: string, parts?: Structure['parts']): Structure {
  return { state: 'truncated', reason, ...(parts && { parts }) }
}

export function damaged(reason: string): Structure {
  return { state: 'damaged', reason }
}
