import { crc32, deflateSync } from 'node:zlib'

/** Repeats the last scan of a progressive JPEG until it has this many. Each costs a decoder a pass over the image. */
export function repeatedScans(progressive: Buffer, scans: number): Buffer {
  const start = progressive.lastIndexOf(Buffer.from([0xff, 0xda]))
  const end = progressive.length - 2
  const scan = progressive.subarray(start, end)
  return Buffer.concat([
    progressive.subarray(0, end),
    ...Array.from({ length: scans }, () => scan),
    progressive.subarray(end),
  ])
}

/** Makes a chunk of a PNG: length, type, data, CRC (PNG specification, 5.3). */
export function pngChunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const framed = Buffer.alloc(body.length + 8)
  framed.writeUInt32BE(data.length, 0)
  body.copy(framed, 4)
  framed.writeUInt32BE(crc32(body), body.length + 4)
  return framed
}

/**
 * Makes a black, interlaced PNG with 16 bits per channel, which a decoder must hold as a whole.
 * @param options.isCut it has one byte of its image data only, so it may have any size
 */
export function interlacedPng(
  side: number,
  { channels = 3, isCut = false }: { channels?: 1 | 3; isCut?: boolean } = {},
): Buffer {
  const header = Buffer.alloc(13)
  header.writeUInt32BE(side, 0)
  header.writeUInt32BE(side, 4)
  header.set([16, channels === 3 ? 2 : 0, 0, 0, 1], 8)
  // PNG specification, 8.2: the seven passes of Adam7, by first column and row, and by their steps.
  const passes = [
    [0, 0, 8, 8],
    [4, 0, 8, 8],
    [0, 4, 4, 8],
    [2, 0, 4, 4],
    [0, 2, 2, 4],
    [1, 0, 2, 2],
    [0, 1, 1, 2],
  ] as const
  let bytes = 0
  for (const [x, y, stepX, stepY] of passes) {
    const columns = Math.ceil((side - x) / stepX)
    const rows = Math.ceil((side - y) / stepY)
    if (columns > 0 && rows > 0) bytes += rows * (1 + columns * channels * 2)
  }
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    pngChunk('IHDR', header),
    pngChunk('IDAT', deflateSync(Buffer.alloc(isCut ? 1 : bytes), { level: 1 })),
    pngChunk('IEND', Buffer.alloc(0)),
  ])
}

/** A frame of an animated PNG, in RGBA. */
export type ApngFrameFile = {
  width: number
  height: number
  x: number
  y: number
  /** 0 none, 1 background, 2 previous. */
  dispose: number
  /** 0 source, 1 over. */
  blend: number
  /** Numerator and denominator, in seconds. */
  delay: readonly [number, number]
  pixels: Buffer
}

/**
 * Makes an animated PNG that is played twice (PNG specification, third edition, 11.3.6).
 *
 * @param still the image for decoders without animation; otherwise it is the first frame
 * @param declared number of frames as the file says
 */
export function apngFile(
  width: number,
  height: number,
  frames: readonly ApngFrameFile[],
  { still, declared = frames.length }: { still?: Buffer; declared?: number } = {},
): Buffer {
  const numbers = (values: readonly number[]) => {
    const data = Buffer.alloc(4 * values.length)
    for (const [index, value] of values.entries()) data.writeUInt32BE(value, 4 * index)
    return data
  }
  const packed = (pixels: Buffer, columns: number) => {
    const rows = Array.from({ length: pixels.length / columns / 4 }, (_, row) =>
      Buffer.concat([Buffer.alloc(1), pixels.subarray(row * columns * 4, (row + 1) * columns * 4)]),
    )
    return deflateSync(Buffer.concat(rows))
  }
  let sequence = 0
  const next = () => numbers([sequence++])
  const chunks = frames.flatMap((frame, index) => {
    const { x, y, delay, dispose, blend, pixels } = frame
    const control = Buffer.concat([next(), numbers([frame.width, frame.height, x, y]), Buffer.alloc(6)])
    control.writeUInt16BE(delay[0], 20)
    control.writeUInt16BE(delay[1], 22)
    control.set([dispose, blend], 24)
    const data = packed(pixels, frame.width)
    const isImage = index === 0 && !still
    return [
      pngChunk('fcTL', control),
      isImage ? pngChunk('IDAT', data) : pngChunk('fdAT', Buffer.concat([next(), data])),
    ]
  })
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    pngChunk('IHDR', Buffer.concat([numbers([width, height]), Buffer.from([8, 6, 0, 0, 0])])),
    pngChunk('acTL', numbers([declared, 2])),
    ...(still ? [pngChunk('IDAT', packed(still, width))] : []),
    ...chunks,
    pngChunk('IEND', Buffer.alloc(0)),
  ])
}
