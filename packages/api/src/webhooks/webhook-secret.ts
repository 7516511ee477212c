import { randomBytes } from 'node:crypto'
import type { Webhook } from '@millrace/shared/webhooks/webhook.ts'

/** Standard Webhooks asks for 24 to 64 bytes. */
const secretBytes = 32
/** How long a replaced secret is valid, in ms: the time to deploy its successor. */
const overlapMs = 24 * 60 * 60 * 1000

type Secrets = Webhook['secrets']

/** Returns a new secret of Standard Webhooks: `whsec_` and 32 random bytes in base64. */
export function newWebhookSecret(): string {
  return `whsec_${randomBytes(secretBytes).toString('base64')}`
}

/** Returns the secrets after a rotation, the newest first: the last one is valid for another 24 hours, earlier ones end. */
export function rotateSecrets([last]: Secrets, secret: string, now: Date): Secrets {
  const replaced = last && { ...last, endsAt: new Date(now.getTime() + overlapMs).toISOString() }
  return [{ secret, createdAt: now.toISOString() }, ...(replaced ? [replaced] : [])]
}

/** Returns the secrets that are valid now, the newest first. */
export function validSecrets(secrets: Secrets, now: Date): Secrets {
  return secrets.filter(({ endsAt }) => endsAt === undefined || Date.parse(endsAt) > now.getTime())
}
