import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { JxlImage } from 'jxl-oxide-wasm'
import type { Sharp } from 'sharp'
import { readImageHeader } from '../headers/image-header.ts'
import type { OpenedImage, OpenLimits } from '../pixels/opened-image.ts'
import { checkPixels } from '../pixels/pixel-limit.ts'
import { createProfiledPixels } from '../pixels/profiled-pixels.ts'
import { makeRgbProfile } from '../pixels/rgb-profile.ts'
import { sharp } from '../pixels/sharp-setup.ts'
import { toneMap } from '../pixels/tone-map.ts'
import { isHdr } from '../pixels/transfer-curves.ts'
import { structureError } from './corrupt-image.ts'

/** JPEG XL's own code of the primaries of P3 (ISO/IEC 18181-1, table E.4), and H.273's code for them with the white D65. */
const jxlP3 = 11
const displayP3 = 12
/** PNG specification, 11.3.2.6: the chunk `cICP` follows the header, which ends at byte 33; 4 bytes for its length. */
const coloursTypeAt = 37

/** The library, until an instance of it fails. */
let loaded: ReturnType<typeof loadLibrary> | undefined
/** How many instances of the library failed in this process. Each new one is a module of its own. */
let failures = 0

/**
 * Reads the header of a JPEG XL with jxl-oxide, which applies the orientation. An animation is shown by its first frame.
 *
 * @throws AppError `image_corrupt`, `image_too_many_pixels`
 */
export async function openJxlImage(
  kind: 'image/jxl',
  bytes: Buffer,
  { maxPixels }: OpenLimits,
): Promise<OpenedImage> {
  const header = readImageHeader(kind, bytes)
  if (header) checkPixels(header, maxPixels)
  loaded ??= loadLibrary()
  const library = await loaded
  const image = explainErrors(() => {
    const opened = new library.JxlImage()
    // Without it, the library converts lossy images to primaries of P3 with the wrong white. It counts before the header.
    opened.forceSrgb = true
    opened.feedBytes(bytes)
    if (!opened.tryInit()) throw structureError(kind, 'truncated', new Error('It ends in its header.'))
    return opened
  })
  const { width = 0, height = 0 } = image
  if (width < 1 || height < 1) throw structureError(kind, 'damaged', new Error('Its size is 0.'))
  checkPixels({ width, height, frames: 1 }, maxPixels)
  if (!image.loaded) throw structureError(kind, 'truncated', new Error('It ends before its last frame.'))
  const frames = image.numLoadedKeyframes
  let open: (() => Sharp) | undefined

  return {
    width,
    height,
    frames: 1,
    pages: 1,
    isVector: false,
    warnings: frames > 1 ? [`The JPEG XL is an animation of ${frames} frames. Only the first is shown.`] : [],
    async decode(_selection, use) {
      open ??= await openPng(explainErrors(() => render(image)))
      return use(open())
    },
  }

  function explainErrors<Result>(run: () => Result): Result {
    try {
      return run()
    } catch (error) {
      if (error instanceof AppError) throw error
      // Its memory is in an unknown state after it aborted. Errors of a file are reported otherwise.
      if (error instanceof Error && error.name === 'RuntimeError') {
        failures += 1
        loaded = undefined
      }
      throw structureError(kind, 'damaged', error)
    }
  }
}

/** Loads jxl-oxide, or after an abort another instance of it: the address of a module identifies its state. */
async function loadLibrary(): Promise<typeof import('jxl-oxide-wasm')> {
  const address = import.meta.resolve('jxl-oxide-wasm')
  const library: typeof import('jxl-oxide-wasm') = await import(`${address}?failures=${failures}`)
  library.initSync({ module: readFileSync(fileURLToPath(import.meta.resolve('jxl-oxide-wasm/module.wasm'))) })
  return library
}

/**
 * Renders the first frame as PNG. Lossy images become sRGB, and high dynamic range is tone-mapped. Lossless ones stay in
 * their own colours, of which the PNG has a profile or codes.
 */
function render(image: JxlImage): Buffer {
  // Encoding frees the frame.
  const png = image.render(0).encodeToPng()
  image.free()
  return Buffer.from(png.buffer, png.byteOffset, png.byteLength)
}

/** @returns a function that opens the PNG with sharp, which knows colour profiles but no codes of H.273 */
async function openPng(png: Buffer): Promise<() => Sharp> {
  const openPlain = () => sharp(png, { failOn: 'none' })
  if (png.toString('latin1', coloursTypeAt, coloursTypeAt + 4) !== 'cICP') return openPlain
  const [code = 1, transfer = 13] = png.subarray(coloursTypeAt + 4)
  const primaries = code === jxlP3 ? displayP3 : code
  const isDeep = isHdr(transfer)
  const profile = makeRgbProfile(primaries, isDeep ? 2 : transfer)
  if (!profile && !isDeep) return openPlain
  const { data, info } = await openPlain()
    .toColourspace(isDeep ? 'rgb16' : 'srgb')
    .raw({ depth: isDeep ? 'ushort' : 'uchar' })
    .toBuffer({ resolveWithObject: true })
  const { width, height } = info
  const channels = info.channels === 4 ? 4 : 3
  const target = createProfiledPixels({ width, height, channels }, profile)
  if (isDeep)
    toneMap(
      { data, width, height, stride: 2 * width * channels, bits: 16 },
      { channels, transfer },
      target.pixels,
    )
  else data.copy(target.pixels)
  return target.open
}
