import sharp, { type Sharp } from 'sharp'

/** An original of the benchmark. */
export type SampleFile = { name: string; bytes: Buffer }

/** The mixture: mostly photos of phones, as they come, and what else people upload. */
const photos = 6
const photoSides = [
  [4032, 3024],
  [3024, 4032],
] as const

/**
 * Makes the files of one round, the same ones each time: photos of 12 megapixels and 2 to 3 MB, one of them progressive,
 * a screenshot, a lossy and a lossless WebP, and small pictures. No animation, which bare sharp would render differently.
 */
export async function makeCorpus(): Promise<SampleFile[]> {
  const files: SampleFile[] = []
  for (let index = 0; index < photos; index++) {
    const [width, height] = photoSides[index % 2] ?? photoSides[0]
    const photo = picture(width, height, index).jpeg({ quality: 88, progressive: index === photos - 1 })
    files.push({ name: `photo-${index}.jpg`, bytes: await photo.toBuffer() })
  }
  files.push(
    { name: 'screenshot.png', bytes: await picture(1920, 1080, 10, 0).png().toBuffer() },
    { name: 'lossy.webp', bytes: await picture(2048, 1536, 11).webp({ quality: 82 }).toBuffer() },
    { name: 'lossless.webp', bytes: await picture(1024, 768, 12, 2).webp({ lossless: true }).toBuffer() },
    { name: 'small.jpg', bytes: await picture(640, 480, 13).jpeg({ quality: 80 }).toBuffer() },
    { name: 'small.png', bytes: await picture(256, 256, 14, 2).png().toBuffer() },
  )
  return files
}

/**
 * Draws soft shapes under grain, which compress like a photo.
 * @param grain the deviation of the grain, in levels of 255
 */
function picture(width: number, height: number, seed: number, grain = 14): Sharp {
  const shapes = Array.from({ length: 60 }, (_, index) => {
    const at = (offset: number) => ((seed + 1) * 7919 + index * 104_729 + offset * 1299_709) % 1000
    const colour = `hsl(${at(1) % 360} ${20 + (at(2) % 60)}% ${15 + (at(3) % 70)}%)`
    return `<ellipse cx="${at(4)}" cy="${at(5)}" rx="${20 + (at(6) % 180)}" ry="${20 + (at(7) % 180)}" fill="${colour}" opacity="0.7"/>`
  })
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 1000 1000" preserveAspectRatio="none">${shapes.join('')}</svg>`
  const drawn = sharp(Buffer.from(svg)).flatten({ background: '#8899aa' })
  return grain > 0
    ? drawn.composite([
        {
          input: grainOf(width, height, seed, grain),
          blend: 'soft-light',
          raw: { width, height, channels: 3 },
        },
      ])
    : drawn
}

/** Pseudo-random grey levels around the middle, by a linear congruential generator. */
function grainOf(width: number, height: number, seed: number, deviation: number): Buffer {
  const data = Buffer.allocUnsafe(width * height * 3)
  let state = seed + 1
  for (let at = 0; at < data.length; at += 3) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    const level = 128 + Math.round((((state >>> 16) & 0xff) / 255 - 0.5) * 4 * deviation)
    data.fill(level, at, at + 3)
  }
  return data
}
