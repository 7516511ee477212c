import type { Sharp } from 'sharp'
import type { Size } from '../pixels/raster.ts'
import { sharp } from '../pixels/sharp-setup.ts'
import { bytes, long, short, type TiffEntry, tiffDirectory } from '../tiff/write-tiff.ts'

/** libvips reads this many rows at a time. */
const rowsPerStrip = 64

/** Where the pixels begin. TIFF 6.0, section 2: the header of a TIFF has 8 bytes. */
const headBytes = 8

/** Pixels of a decoder other than libvips, with their colour profile. */
export type ProfiledPixels = {
  /** To be filled: rows from the top without gaps, 8 bits per channel, alpha not premultiplied. */
  pixels: Buffer
  /** Opens them with sharp. */
  open(): Sharp
}

/**
 * Makes room for pixels with a colour profile. sharp takes raw pixels without a profile only, so they lie in an
 * uncompressed TIFF, whose pixels are filled in place.
 *
 * @param channels 3 for RGB, 4 for RGB and alpha
 * @param profile an ICC profile; undefined for sRGB
 */
export function createProfiledPixels(
  { width, height, channels }: Size & { channels: 3 | 4 },
  profile: Buffer | undefined,
): ProfiledPixels {
  const rowBytes = width * channels
  const pixelsEnd = headBytes + rowBytes * height
  const directoryAt = pixelsEnd + (pixelsEnd % 2)
  const strips = Math.ceil(height / rowsPerStrip)
  const starts = Array.from({ length: strips }, (_, index) => headBytes + index * rowsPerStrip * rowBytes)
  const lengths = starts.map((start) => Math.min(rowsPerStrip * rowBytes, pixelsEnd - start))
  const directory = tiffDirectory(directoryAt, [
    [256, long, [width]],
    [257, long, [height]],
    [258, short, Array.from({ length: channels }, () => 8)],
    [259, short, [1]],
    [262, short, [2]],
    [273, long, starts],
    [277, short, [channels]],
    [278, long, [rowsPerStrip]],
    [279, long, lengths],
    [284, short, [1]],
    // Alpha that is not premultiplied.
    ...(channels === 4 ? [[338, short, [2]] satisfies TiffEntry] : []),
    ...(profile ? [[34675, bytes, profile] satisfies TiffEntry] : []),
  ])
  const file = Buffer.allocUnsafeSlow(directoryAt + directory.length)
  file.write('II*\0', 0, 'latin1')
  file.writeUInt32LE(directoryAt, 4)
  directory.copy(file, directoryAt)
  return {
    pixels: file.subarray(headBytes, pixelsEnd),
    open: () => sharp(file, { failOn: 'none' }),
  }
}
