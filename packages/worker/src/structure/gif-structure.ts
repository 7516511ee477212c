import { damaged, partLimits, type Structure, truncated, whole } from './structure.ts'

/** Block introducers of GIF89a. */
const extension = 0x21
const image = 0x2c
const trailer = 0x3b

/**
 * Checks the blocks of a GIF (GIF89a, appendix A). A missing trailer is no fault if the last frame is complete.
 */
export function checkGif(file: Buffer): Structure {
  if (file.length < 13) return truncated('It ends in its header.')
  let at = 13 + colourTableBytes(file[10])
  let frames = 0
  const parts = () => ({ name: 'frames', count: frames }) as const
  // Counting on would take as long as the file wants.
  while (at < file.length && frames <= partLimits.frames) {
    const introducer = file[at]
    if (introducer === trailer) break
    if (introducer === extension) {
      const end = skipSubBlocks(file, at + 2)
      if (end === undefined) return frames > 0 ? whole(parts()) : truncated('It ends in an extension.')
      at = end
    } else if (introducer === image) {
      // Descriptor of 10 bytes, local colour table, one byte with the code size, data.
      const end = skipSubBlocks(file, at + 11 + colourTableBytes(file[at + 9]))
      if (end === undefined) return truncated(`It ends in frame ${frames + 1}.`, parts())
      frames += 1
      at = end
    } else if (introducer === 0) {
      // Some encoders write one terminator too many.
      at += 1
    } else if (frames > 0) {
      // Decoders show the frames before it.
      break
    } else return damaged(`There is no block at byte ${at}.`)
  }
  return frames > 0 ? whole(parts()) : truncated('It ends before its first frame.')
}

/** @param packed the field with the flag and the size of a colour table */
function colourTableBytes(packed = 0): number {
  return packed & 0x80 ? 3 * 2 ** ((packed & 7) + 1) : 0
}

/** @returns where the sub-blocks end, or undefined if the file ends before */
function skipSubBlocks(file: Buffer, start: number): number | undefined {
  let at = start
  for (;;) {
    const size = file[at]
    if (size === undefined) return undefined
    at += 1 + size
    if (size === 0) return at
  }
}
