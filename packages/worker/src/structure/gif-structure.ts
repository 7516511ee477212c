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
  /** Browsers show the frames that are there. */
  const withoutEnd = (): Structure => ({
    ...whole(parts()),
    warning: `The GIF has no end mark. It may have had more than its ${frames === 1 ? 'frame' : `${frames} frames`}.`,
  })
  // Counting on would take as long as the file wants.
  while (at < file.length && frames <= partLimits.frames) {
    const introducer = file[at]
    if (introducer === trailer) return frames > 0 ? whole(parts()) : damaged('It has no frame.')
    if (introducer === extension) {
      const end = skipSubBlocks(file, at + 2)
      if (end === undefined) return frames > 0 ? withoutEnd() : truncated('It ends in an extension.')
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
  return frames > 0 ? withoutEnd() : truncated('It ends before its first frame.')
}

/**
 * Returns the size of a GIF's pictures in pixels: of its screen, or of a frame that reaches beyond, by which decoders
 * enlarge it.
 *
 * @throws RangeError if the file ends in its header
 */
export function readGifSize(file: Buffer): { width: number; height: number } {
  const size = { width: file.readUInt16LE(6), height: file.readUInt16LE(8) }
  forEachFrame(file, (at) => {
    size.width = Math.max(size.width, file.readUInt16LE(at + 1) + file.readUInt16LE(at + 5))
    size.height = Math.max(size.height, file.readUInt16LE(at + 3) + file.readUInt16LE(at + 7))
  })
  return size
}

/** @param visit is called with the place of each frame's descriptor that is whole */
function forEachFrame(file: Buffer, visit: (at: number) => void): void {
  let frames = 0
  for (let at = 13 + colourTableBytes(file[10]); frames <= partLimits.frames; ) {
    const introducer = file[at]
    const isImage = introducer === image && at + 10 <= file.length
    if (isImage) {
      visit(at)
      frames += 1
    }
    const next =
      introducer === extension
        ? skipSubBlocks(file, at + 2)
        : isImage
          ? skipSubBlocks(file, at + 11 + colourTableBytes(file[at + 9]))
          : introducer === 0
            ? at + 1
            : undefined
    if (next === undefined) return
    at = next
  }
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
