import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type FrameGeometry, uprightSize } from '../headers/video-frame.ts'

/** CPU time in which ffmpeg decodes one frame, in s. A frame of 8K takes some two seconds. */
const cpuSeconds = 30

/** Decoders of the codecs that Matroska files of `key-frame.ts` contain, in the names of ffmpeg 5 to 8. */
const decoderNames = ['h264', 'hevc', 'vp8', 'vp9', 'libdav1d', 'av1', 'libaom-av1', 'prores']

/** A PPM picture: `P6`, width, height, the largest value; a byte of white space each; then RGB (ppm(5)). */
const ppmHead = /^P6\s(\d+)\s(\d+)\s255\s/

/** Video of this height and more is BT.709 if it does not say otherwise; Chromium assumes the same. */
const highDefinitionHeight = 720

/**
 * Decodes one frame with ffmpeg, upright and in square pixels, RGB with 8 bits.
 *
 * ffmpeg gets the frame through its standard input and writes the picture to its standard output. It may open no other
 * file and no network, read no format but Matroska, and has no environment. It belongs to the process group of its decoder
 * process, which is killed as a whole.
 *
 * @param program path of ffmpeg
 * @param frame.matroska a file with the one frame
 * @param maxPixels of the decoded frame, whatever the container says
 * @throws Error if ffmpeg gives no picture
 */
export async function decodeFrame(
  program: string,
  { geometry, matroska }: { geometry: FrameGeometry; matroska: Buffer },
  maxPixels: number,
): Promise<Buffer> {
  const { width, height } = uprightSize(geometry)
  const child = spawn(program, ffmpegArguments(geometry, maxPixels), {
    env: {},
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  const closed = once(child, 'close')
  // If ffmpeg ends before it read all, its missing picture is the error.
  child.stdin.on('error', () => {}).end(matroska)
  const chunks: Buffer[] = []
  let size = 0
  const maxSize = 3 * width * height + 64
  child.stdout.on('data', (chunk: Buffer) => {
    size += chunk.length
    if (size > maxSize) child.kill('SIGKILL')
    else chunks.push(chunk)
  })
  await closed
  const picture = Buffer.concat(chunks)
  const [head, ...sides] = ppmHead.exec(picture.toString('latin1', 0, 64)) ?? []
  const pixels = picture.subarray(head?.length)
  const isExpected = sides.map(Number).join() === [width, height].join() && size === picture.length
  if (!isExpected || pixels.length !== 3 * width * height) throw new Error('ffmpeg gave no picture.')
  return pixels
}

/** Returns the command line. Options before `-i` are for reading, those after it for writing. */
function ffmpegArguments(geometry: FrameGeometry, maxPixels: number): string[] {
  return [
    ...['-nostdin', '-loglevel', 'quiet', '-timelimit', String(cpuSeconds), '-filter_threads', '1'],
    ...['-protocol_whitelist', 'pipe', '-format_whitelist', 'matroska', '-f', 'matroska'],
    ...['-codec_whitelist', decoderNames.join(), '-max_pixels', String(maxPixels)],
    ...['-threads', '1', '-noautorotate', '-i', 'pipe:0'],
    ...['-an', '-sn', '-dn', '-frames:v', '1', '-vf', filtersOf(geometry).join()],
    ...['-threads', '1', '-c:v', 'ppm', '-pix_fmt', 'rgb24', '-f', 'image2pipe', 'pipe:1'],
  ]
}

function filtersOf({ width, height, rotation, isMirrored, lacksMatrix }: FrameGeometry): string[] {
  const matrix = lacksMatrix && height >= highDefinitionHeight ? ':in_color_matrix=bt709' : ''
  const turns = { 0: [], 90: ['transpose=clock'], 180: ['hflip', 'vflip'], 270: ['transpose=cclock'] }
  return [
    `scale=${width}:${height}:flags=bicubic+accurate_rnd+full_chroma_int${matrix}`,
    ...turns[rotation],
    ...(isMirrored ? ['hflip'] : []),
  ]
}
