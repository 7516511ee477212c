import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { createClient } from '@millrace/client'
import { createApp } from './app.ts'
import { createPhotoStore } from './photo-store.ts'

/** Returns a required variable. @throws Error that names it */
function read(name: string): string {
  const value = process.env[name]
  if (!value) throw new Error(`${name} is not set. README.md lists the variables.`)
  return value
}

const port = Number(read('PORT'))
const origin = `http://localhost:${port}`
const millrace = { origin: read('MILLRACE_ORIGIN'), apiKey: read('MILLRACE_API_KEY') }
const directory = read('ALBUM_DATA')
mkdirSync(directory, { recursive: true })
const photos = createPhotoStore(join(directory, 'album.sqlite'))
const app = await createApp({
  photos,
  uploads: { ...millrace, webhookSecret: read('MILLRACE_WEBHOOK_SECRET') },
  millraceOf: (user) => createClient({ ...millrace, user }),
  sessionKey: Buffer.from(read('SESSION_KEY'), 'base64'),
})

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    await app.close()
    photos.close()
  })
}
await app.listen({ port, host: '127.0.0.1' })
process.stdout.write(`The photo album is ready: ${origin}\n`)
