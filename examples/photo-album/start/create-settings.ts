import { randomBytes } from 'node:crypto'
import { ensureWebhook } from '@millrace/client/server'

/**
 * Makes what an app needs once: a key of its tenant, and a webhook. `curl` and the page `/docs` of Millrace can do the same.
 *
 * @param options.createKey runs `npm run api-key -- create`, and returns what it prints
 * @returns the variables of the album
 */
export async function createSettings(options: {
  origin: string
  millrace: string
  createKey: (parameters: string[]) => Promise<string>
}): Promise<Record<string, string>> {
  const { origin, millrace, createKey } = options
  // tokens: for its users' browsers. act-as: to read and erase their photos. tenant: for the webhook.
  const scopes = ['tokens', 'act-as', 'tenant', 'uploads:read', 'uploads:write']
  const printed = await createKey([
    '--tenant',
    'photo-album',
    ...scopes.flatMap((scope) => ['--scope', scope]),
  ])
  const [apiKey] = /\bmr_\S+/.exec(printed) ?? []
  if (apiKey === undefined) throw new Error(`There is no key in: ${printed}`)

  const { secret } = await ensureWebhook({ origin: millrace, apiKey, url: `${origin}/api/uploads` })
  if (secret === undefined)
    throw new Error('The webhook exists, and its secret is not shown again: delete .millrace.')
  return {
    MILLRACE_API_KEY: apiKey,
    MILLRACE_WEBHOOK_SECRET: secret,
    SESSION_KEY: randomBytes(32).toString('base64'),
  }
}
