import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { Size } from '../pixels/raster.ts'
import { compileWasm } from './wasm-program.ts'

/** The functions of libheif's C interface that are used (libheif 1.23, heif.h). Pointers are numbers. */
type HeifModule = {
  /** The library's memory. It is another array after the memory grew. */
  readonly HEAPU8: Uint8Array
  _malloc(bytes: number): number
  _heif_context_alloc(): number
  _heif_context_get_security_limits(context: number): number
  _heif_context_read_from_memory_without_copy(
    error: number,
    context: number,
    file: number,
    bytes: number,
    options: number,
  ): void
  _heif_context_get_primary_image_handle(error: number, context: number, result: number): void
  _heif_context_has_sequence(context: number): number
  _heif_context_get_track(context: number, id: number): number
  _heif_track_get_image_resolution(error: number, track: number, width: number, height: number): void
  _heif_track_decode_next_image(
    error: number,
    track: number,
    result: number,
    colourSpace: number,
    chroma: number,
    options: number,
  ): void
  _heif_track_has_alpha_channel(track: number): number
  _heif_image_handle_get_width(handle: number): number
  _heif_image_handle_get_height(handle: number): number
  _heif_image_handle_has_alpha_channel(handle: number): number
  _heif_image_handle_get_raw_color_profile_size(handle: number): number
  _heif_image_handle_get_raw_color_profile(error: number, handle: number, result: number): void
  _heif_image_handle_get_nclx_color_profile(error: number, handle: number, result: number): void
  _heif_decode_image(
    error: number,
    handle: number,
    result: number,
    colourSpace: number,
    chroma: number,
    options: number,
  ): void
  _heif_image_get_width(image: number, channel: number): number
  _heif_image_get_height(image: number, channel: number): number
  _heif_image_get_plane_readonly2(image: number, channel: number, stride: number): number
  _heif_image_get_bits_per_pixel_range(image: number, channel: number): number
  _heif_image_is_premultiplied_alpha(image: number): number
  _heif_image_get_decoding_warnings(image: number, first: number, result: number, count: number): number
  _heif_image_get_nclx_color_profile(error: number, image: number, result: number): void
}

const require = createRequire(import.meta.url)
const createModule: (options: {
  instantiateWasm: ReturnType<typeof compileWasm>
  print(text: string): void
  printErr(text: string): void
}) => HeifModule = require('libheif-js/libheif-wasm/libheif.js')
const instantiateWasm = compileWasm(
  readFileSync(fileURLToPath(import.meta.resolve('libheif-js/libheif-wasm/libheif.wasm'))),
)

/** heif_colorspace_RGB, and heif_chroma_interleaved_…: RGB, RGBA, and both with 16 bits, the low byte first. */
const colourSpaceRgb = 1
const chromas = { rgb: 10, rgba: 11, rgb16: 14, rgba16: 15 } as const
/** heif_channel_interleaved. */
const interleaved = 10

/** An error of libheif: `code` and `subcode` of heif_error.h. */
export class HeifError extends Error {
  readonly code: number
  readonly subcode: number
  constructor(code: number, subcode: number, message: string) {
    super(message)
    this.code = code
    this.subcode = subcode
  }
}

/** Codes of ITU-T H.273 for primaries and transfer, tables 2 and 3; 2 is unspecified. */
export type NamedColours = { primaries: number; transfer: number }

/** A HEIF whose description was read. */
export type HeifFile = Size & {
  hasAlpha: boolean
  /** The embedded ICC profile. */
  profile: Buffer | undefined
  colours: NamedColours | undefined
  /**
   * Decodes the picture: its primary image, upright, or the first of a sequence.
   * @param isDeep with 16 bits per channel, of which `bits` are used, instead of 8
   * @throws HeifError
   */
  decode(isDeep: boolean): HeifPixels
}

export type HeifPixels = Size & {
  /** In the library's memory, valid until its next call: rows of `stride` bytes from the top. */
  data: Uint8Array
  stride: number
  bits: number
  isPremultiplied: boolean
  /** How many parts could not be decoded. */
  warnings: number
  /** As the video data names them, which counts if the file does not. */
  colours: NamedColours | undefined
}

/**
 * Opens a HEIF with libheif. Each file gets an instance of its own: its memory is freed as a whole, and a file that makes
 * the library abort spoils no other.
 *
 * @param limits.maxPixels of an image, before anything is allocated for it
 * @throws HeifError
 */
export function openHeifFile(bytes: Buffer, limits: { maxPixels: number }): HeifFile {
  const library = createModule({ instantiateWasm, print: () => {}, printErr: () => {} })
  const heap = () => library.HEAPU8
  const view = () => new DataView(heap().buffer)
  // A heif_error is returned through a pointer; results are pointers or numbers of 4 bytes.
  const error = library._malloc(12)
  const result = library._malloc(8)

  function check(): void {
    const code = view().getUint32(error, true)
    if (code !== 0)
      throw new HeifError(code, view().getUint32(error + 4, true), textAt(view().getUint32(error + 8, true)))
  }

  function textAt(start: number): string {
    return Buffer.from(heap().subarray(start, heap().indexOf(0, start))).toString()
  }

  const pointer = () => view().getUint32(result, true)

  /** struct heif_color_profile_nclx: a version, then numbers of 4 bytes. */
  function readColours(read: (error: number, result: number) => void): NamedColours | undefined {
    read(error, result)
    if (view().getUint32(error, true) !== 0) return undefined
    return {
      primaries: view().getUint32(pointer() + 4, true),
      transfer: view().getUint32(pointer() + 8, true),
    }
  }

  function readProfile(handle: number): Buffer | undefined {
    const size = library._heif_image_handle_get_raw_color_profile_size(handle)
    if (size === 0) return undefined
    const at = library._malloc(size)
    library._heif_image_handle_get_raw_color_profile(error, handle, at)
    check()
    return Buffer.from(heap().subarray(at, at + size))
  }

  function pixelsOf(image: number): HeifPixels {
    const start = library._heif_image_get_plane_readonly2(image, interleaved, result)
    const stride = view().getUint32(result, true)
    const height = library._heif_image_get_height(image, interleaved)
    return {
      width: library._heif_image_get_width(image, interleaved),
      height,
      stride,
      bits: library._heif_image_get_bits_per_pixel_range(image, interleaved),
      isPremultiplied: library._heif_image_is_premultiplied_alpha(image) !== 0,
      warnings: library._heif_image_get_decoding_warnings(image, 0, 0, 0),
      colours: readColours((...at) => library._heif_image_get_nclx_color_profile(at[0], image, at[1])),
      data: heap().subarray(start, start + stride * height),
    }
  }

  function chroma(hasAlpha: boolean, isDeep: boolean): number {
    if (isDeep) return hasAlpha ? chromas.rgba16 : chromas.rgb16
    return hasAlpha ? chromas.rgba : chromas.rgb
  }

  function openImage(handle: number): HeifFile {
    const hasAlpha = library._heif_image_handle_has_alpha_channel(handle) !== 0
    return {
      width: library._heif_image_handle_get_width(handle),
      height: library._heif_image_handle_get_height(handle),
      hasAlpha,
      profile: readProfile(handle),
      colours: readColours((...at) =>
        library._heif_image_handle_get_nclx_color_profile(at[0], handle, at[1]),
      ),
      decode(isDeep) {
        library._heif_decode_image(error, handle, result, colourSpaceRgb, chroma(hasAlpha, isDeep), 0)
        check()
        return pixelsOf(pointer())
      },
    }
  }

  function openSequence(track: number): HeifFile {
    library._heif_track_get_image_resolution(error, track, result, result + 2)
    check()
    const hasAlpha = library._heif_track_has_alpha_channel(track) !== 0
    return {
      width: view().getUint16(result, true),
      height: view().getUint16(result + 2, true),
      hasAlpha,
      profile: undefined,
      colours: undefined,
      decode(isDeep) {
        library._heif_track_decode_next_image(
          error,
          track,
          result,
          colourSpaceRgb,
          chroma(hasAlpha, isDeep),
          0,
        )
        check()
        return pixelsOf(pointer())
      },
    }
  }

  const context = library._heif_context_alloc()
  setMaxPixels(view(), library._heif_context_get_security_limits(context), limits.maxPixels)
  const file = library._malloc(bytes.length)
  heap().set(bytes, file)
  library._heif_context_read_from_memory_without_copy(error, context, file, bytes.length, 0)
  check()
  library._heif_context_get_primary_image_handle(error, context, result)
  if (view().getUint32(error, true) === 0) return openImage(pointer())
  if (library._heif_context_has_sequence(context) === 0) check()
  const track = library._heif_context_get_track(context, 0)
  if (track === 0) check()
  return openSequence(track)
}

/** struct heif_security_limits: a version, and the number of pixels (8 bytes) at byte 8. Other limits stay as they are. */
function setMaxPixels(view: DataView, limits: number, maxPixels: number): void {
  view.setBigUint64(limits + 8, BigInt(maxPixels), true)
}
