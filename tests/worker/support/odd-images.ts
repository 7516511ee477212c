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

/** Makes a black, interlaced PNG with 16 bits per channel, which a decoder must hold as a whole. */
export function interlacedPng(side: number, { channels = 3 }: { channels?: 1 | 3 } = {}): Buffer {
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
    pngChunk('IDAT', deflateSync(Buffer.alloc(bytes), { level: 1 })),
    pngChunk('IEND', Buffer.alloc(0)),
  ])
}
