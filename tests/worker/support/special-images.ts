import { crc32, deflateSync } from 'node:zlib'
import sharp from 'sharp'

/** Makes a PNG of 40 × 40 pixels of one colour, which is in Display P3. */
export async function displayP3Png([r, g, b]: [number, number, number]): Promise<Buffer> {
  const plain = await sharp({ create: { width: 40, height: 40, channels: 3, background: { r, g, b } } })
    .png()
    .toBuffer()
  const { icc } = await sharp(await sharp(plain).withIccProfile('p3').png().toBuffer()).metadata()
  if (!icc) throw new Error('no profile')
  // PNG specification, 11.3.2.3: name, 0, compression method 0, profile. It follows after IHDR.
  const data = Buffer.concat([Buffer.from('iCCPp3\0\0', 'latin1'), deflateSync(icc)])
  const chunk = Buffer.alloc(data.length + 8)
  chunk.writeUInt32BE(data.length - 4, 0)
  data.copy(chunk, 4)
  chunk.writeUInt32BE(crc32(data), data.length + 4)
  return Buffer.concat([plain.subarray(0, 33), chunk, plain.subarray(33)])
}

/**
 * Makes a TIFF of two pages, which libvips does not write: red, 60 × 40, and blue of another size.
 */
export async function twoPageTiff(second = { width: 30, height: 50 }): Promise<Buffer> {
  const page = async (
    color: [number, number, number],
    { width, height }: { width: number; height: number },
  ) => ({ width, height, pixels: Buffer.alloc(width * height * 3, Buffer.from(color)) }) as const
  const pages = [await page([255, 0, 0], { width: 60, height: 40 }), await page([0, 0, 255], second)]
  const parts: Buffer[] = [Buffer.from('II*\0\0\0\0\0', 'latin1')]
  let end = 8
  let link: { buffer: Buffer; at: number } = { buffer: parts[0] ?? Buffer.alloc(0), at: 4 }
  const append = (buffer: Buffer) => {
    parts.push(buffer)
    const at = end
    end += buffer.length
    return at
  }
  for (const { width, height, pixels } of pages) {
    const pixelsAt = append(pixels)
    const depthsAt = append(Buffer.from([8, 0, 8, 0, 8, 0]))
    // TIFF 6.0: tag, type (3 short, 4 long), count, value; then the place of the next directory.
    const entries = [
      [256, 4, 1, width],
      [257, 4, 1, height],
      [258, 3, 3, depthsAt],
      [259, 3, 1, 1],
      [262, 3, 1, 2],
      [273, 4, 1, pixelsAt],
      [277, 3, 1, 3],
      [278, 4, 1, height],
      [279, 4, 1, pixels.length],
    ] as const
    const directory = Buffer.alloc(2 + entries.length * 12 + 4)
    directory.writeUInt16LE(entries.length, 0)
    for (const [index, [tag, type, count, value]] of entries.entries()) {
      const at = 2 + index * 12
      directory.writeUInt16LE(tag, at)
      directory.writeUInt16LE(type, at + 2)
      directory.writeUInt32LE(count, at + 4)
      directory.writeUInt32LE(value, at + 8)
    }
    link.buffer.writeUInt32LE(append(directory), link.at)
    link = { buffer: directory, at: directory.length - 4 }
  }
  return Buffer.concat(parts)
}
