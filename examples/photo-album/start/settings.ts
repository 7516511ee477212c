import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { parseEnv } from 'node:util'
import { ensureWebhook } from '@millrace/client/server'

/** tokens: for browsers of the album's users. act-as: to read and erase their photos. tenant: for the webhook. */
const scopes = ['tokens', 'act-as', 'tenant', 'uploads:read', 'uploads:write']

/**
 * Makes what the album and Millrace need to know of each other, once, and keeps it in a file like `.env`.
 *
 * @param file has the album's port in its name, because the webhook has it in its URL
 */
export function openSettings(file: string) {
  const settings = { ...read(file) }
  settings['SESSION_KEY'] ??= randomBytes(32).toString('base64')
  // As `npm run api-key -- create photo-album` makes it.
  const apiKey = settings['MILLRACE_API_KEY'] ?? `mr_${randomBytes(32).toString('base64url')}`
  settings['MILLRACE_API_KEY'] = apiKey
  write()

  function write() {
    mkdirSync(dirname(file), { recursive: true })
    const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`)
    writeFileSync(file, lines.join(''), { mode: 0o600 })
  }

  return {
    /** The variables of the album. */
    settings,
    /** The entry of API_KEYS, which has the key's hash only. */
    apiKeys: `photo-album/${scopes.join('+')}/${createHash('sha256').update(apiKey).digest('hex')}`,
    /** Makes the webhook, unless there is one. @param url where Millrace reaches the album's upload routes */
    async provideWebhook({ millrace, url }: { millrace: string; url: string }): Promise<void> {
      if (settings['MILLRACE_WEBHOOK_SECRET']) return
      const { secret } = await ensureWebhook({ origin: millrace, apiKey, url })
      if (secret === undefined)
        throw new Error(`The webhook's secret is not in ${file}, and is not shown again.`)
      settings['MILLRACE_WEBHOOK_SECRET'] = secret
      write()
    },
  }
}

function read(file: string): NodeJS.Dict<string> {
  try {
    return parseEnv(readFileSync(file, 'utf8'))
  } catch {
    return {}
  }
}
