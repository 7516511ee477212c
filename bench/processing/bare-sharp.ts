import { readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { renderCascade, renderEach } from './render-bare.ts'

// Renders local files with sharp alone: no S3, no queue. `/cascade` decodes once, `/naive` for each variant.

const directory = process.env['FILES'] ?? ''
const concurrency = Number(process.env['CONCURRENCY'])
const files = readdirSync(directory).map((name) => join(directory, name))

const server = createServer(async ({ url }, response) => {
  const render = url === '/cascade' ? renderCascade : renderEach
  if (url === '/cascade' || url === '/naive') {
    const waiting = [...files]
    const renderNext = async () => {
      for (let file = waiting.pop(); file !== undefined; file = waiting.pop())
        await render(readFileSync(file))
    }
    await Promise.all(Array.from({ length: concurrency }, renderNext))
  }
  response.end()
})
server.listen(Number(process.env['PORT']), '127.0.0.1')
process.once('SIGTERM', () => server.close())
