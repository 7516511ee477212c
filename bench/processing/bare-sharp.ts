import { readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import sharp from 'sharp'

// What sharp takes by itself for the variants of Millrace's default preset: no S3, no queue, no checks, no placeholder, no
// isolation. `/cascade` decodes once and makes each size from the larger one, as the worker does; `/naive` decodes for
// each variant, as examples do.

sharp.concurrency(1)
sharp.cache(false)

const directory = process.env['FILES'] ?? ''
const concurrency = Number(process.env['CONCURRENCY'])
const files = readdirSync(directory).map((name) => join(directory, name))
const sides = [1920, 960, 320]
const webp = { quality: 80, effort: 2 }
const jpeg = { quality: 80 }

async function cascade(file: string): Promise<void> {
  const input = readFileSync(file)
  let { data, info } = await sharp(input, { autoOrient: true })
    .resize({ width: 1920, withoutEnlargement: true })
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true })
  for (const side of sides) {
    if (side < info.width) {
      ;({ data, info } = await sharp(data, { raw: info })
        .resize({ width: side })
        .raw()
        .toBuffer({ resolveWithObject: true }))
    }
    await sharp(data, { raw: info }).webp(webp).toBuffer()
  }
  await sharp(data, { raw: info })
    .resize({ width: 200, height: 200, fit: 'cover', withoutEnlargement: true })
    .flatten({ background: '#ffffff' })
    .jpeg(jpeg)
    .toBuffer()
}

async function naive(file: string): Promise<void> {
  const input = readFileSync(file)
  const open = () => sharp(input, { autoOrient: true })
  for (const side of sides)
    await open().resize({ width: side, withoutEnlargement: true }).webp(webp).toBuffer()
  await open()
    .resize({ width: 200, height: 200, fit: 'cover', withoutEnlargement: true })
    .jpeg(jpeg)
    .toBuffer()
}

const server = createServer(async ({ url }, response) => {
  const render = url === '/cascade' ? cascade : naive
  if (url === '/cascade' || url === '/naive') {
    const waiting = [...files]
    const renderNext = async () => {
      for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) await render(file)
    }
    await Promise.all(Array.from({ length: concurrency }, renderNext))
  }
  response.end()
})
server.listen(Number(process.env['PORT']), '127.0.0.1')
process.once('SIGTERM', () => server.close())
