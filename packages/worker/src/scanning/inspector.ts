import { createHmac } from 'node:crypto'
import { GetObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { createSigningCredentials } from '@millrace/shared/connections/signing-credentials.ts'
import { parseJson } from '@millrace/shared/connections/stored-json.ts'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Arrival, Upload } from '@millrace/shared/uploads/upload.ts'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'

/** What an inspector answers. It may send more fields. */
const Decision = Type.Union([
  Type.Object({ decision: Type.Literal('accept') }),
  Type.Object({
    decision: Type.Literal('reject'),
    reason: Type.Optional(Type.String({ description: 'for the owner of the file' })),
  }),
])
export type Decision = Static<typeof Decision>

const decisionValidator = Compile(Decision)

/** What is known of a file when the inspector is asked. */
export type InspectedFile = {
  upload: Upload
  arrival: Arrival
  detectedType: string | undefined
  sha256: string
}

/** Limit of an answer, in bytes. */
const maxAnswerBytes = 64 * 1024

/** How long the file's URL is valid after the timeout of the request, in ms: the inspector may be reading it. */
const urlGraceMs = 60_000

/** The prefix of a Standard Webhooks secret; what follows is base64. */
const secretPrefix = 'whsec_'

/**
 * Returns the bytes of a secret in the form of Standard Webhooks: `whsec_` and 24 to 64 bytes in base64.
 * @returns undefined if the text has another form
 */
export function inspectSecretBytes(text: string): Buffer | undefined {
  if (!text.startsWith(secretPrefix)) return undefined
  const encoded = text.slice(secretPrefix.length)
  const bytes = Buffer.from(encoded, 'base64')
  return bytes.length >= 24 && bytes.length <= 64 && bytes.toString('base64') === encoded ? bytes : undefined
}

/**
 * A client of an HTTP inspector: a service of the team's own that accepts or rejects each file.
 *
 * @param deps.s3 signs the file's URL
 * @param deps.url where the inspector is. Redirects are not followed
 * @param deps.secret signs the requests as Standard Webhooks does; undefined: they are not signed
 * @param deps.timeoutMs for the whole answer, in ms
 */
export function createInspector(deps: {
  s3: S3Client
  bucket: string
  url: string
  secret: Buffer | undefined
  timeoutMs: number
}) {
  const { s3, bucket, url, secret, timeoutMs } = deps
  const credentials = createSigningCredentials({ s3 })

  /**
   * Asks the inspector.
   * @throws AppError `scan_unavailable` for anything but a valid decision
   */
  return async function askInspector(file: InspectedFile, signal: AbortSignal): Promise<Decision> {
    const body = await describe(file)
    // A repeated request for the same bytes has the same id.
    const id = `inspect-${file.upload.id}-${file.sha256.slice(0, 16)}`
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...signedHeaders(id, body) },
        body,
        // The body has a URL of the file. It goes nowhere else.
        redirect: 'manual',
        signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
      })
      const text = await readText(response)
      if (!response.ok) throw new Error(`The inspector answered with status ${response.status}.`)
      const answer = parseJson(text)
      if (decisionValidator.Check(answer)) return answer
      throw new Error('The answer of the inspector is not a decision.')
    } catch (error) {
      throw new AppError('scan_unavailable', { cause: error })
    }
  }

  async function describe({ upload, arrival, detectedType, sha256 }: InspectedFile): Promise<string> {
    const { id, owner, intent } = upload
    const { filename, contentType, metadata = {} } = intent
    const { size, versionId } = arrival
    const command = new GetObjectCommand({ Bucket: bucket, Key: originalKey(upload), VersionId: versionId })
    const lifeMs = await credentials.lifeMs(timeoutMs + urlGraceMs)
    const expiresIn = Math.floor(lifeMs / 1000)
    const fileUrl = await getSignedUrl(s3, command, { expiresIn })
    const described = { id, owner, filename, contentType, detectedType, size, sha256, metadata, url: fileUrl }
    return JSON.stringify(described)
  }

  /** Standard Webhooks: the base64 of the HMAC-SHA256 of id, time (s since 1970) and body, joined by dots. */
  function signedHeaders(id: string, body: string): Record<string, string> {
    const timestamp = String(Math.floor(Date.now() / 1000))
    const headers = { 'webhook-id': id, 'webhook-timestamp': timestamp }
    if (!secret) return headers
    const signature = createHmac('sha256', secret).update(`${id}.${timestamp}.${body}`).digest('base64')
    return { ...headers, 'webhook-signature': `v1,${signature}` }
  }
}

export type AskInspector = ReturnType<typeof createInspector>

/** @throws Error if the body is over the limit */
async function readText({ body }: Response): Promise<string> {
  if (!body) return ''
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.length
    if (bytes > maxAnswerBytes)
      throw new Error(`The answer of the inspector is over ${maxAnswerBytes} bytes.`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}
