import type { Client } from 'openapi-fetch'
import type { components, paths } from './api-types.ts'
import { dataOf, SendError } from './millrace-error.ts'
import { isRetryable, retry } from './retry.ts'
import { sendBody } from './send-body.ts'

/** Parts of one file on their way at once. */
const partsAtOnce = 4
/** The API signs at most so many parts a request. */
const signedAtOnce = 100
/** What S3 answers once a signature has expired. */
const forbidden = 403
/** A part that is forbidden even with a fresh signature is not going to be allowed. */
const renewalsOfPart = 2

/**
 * Sends a file in parts, several at a time, each tried again by itself. Signatures are asked for in batches
 * as they are needed, and again when S3 says that they have expired.
 *
 * @param options.plan `partSize` in bytes
 * @param options.urls those that are signed already
 * @param options.received parts that S3 has already, from an earlier try
 * @param options.onSent gets the bytes of the file that have left; falls back when a part starts over
 * @returns all parts in their order, as completing wants them
 * @throws SendError, ApiProblem; the signal's reason where it aborts
 */
export async function sendParts(options: {
  api: Client<paths>
  id: string
  plan: { partSize: number; partCount: number }
  urls: components['schemas']['PartUrl'][]
  file: Blob
  received: components['schemas']['SentPart'][]
  onSent: (bytes: number) => void
  signal: AbortSignal
}): Promise<{ partNumber: number; etag: string }[]> {
  const { api, id, plan, file, onSent } = options
  const etags = new Map(options.received.map(({ partNumber, etag }) => [partNumber, etag]))
  const sentBytes = new Map(options.received.map(({ partNumber, size }) => [partNumber, size]))
  const urls = new Map(options.urls.map(({ partNumber, url }) => [partNumber, url]))
  const missing = Array.from({ length: plan.partCount }, (_, index) => index + 1).filter((n) => !etags.has(n))
  let signing: Promise<void> | undefined
  tell()

  // One part that fails for good stops the others.
  const failure = new AbortController()
  const signal = AbortSignal.any([options.signal, failure.signal])
  const queue = missing.values()
  const lanes = Array.from({ length: partsAtOnce }, async () => {
    try {
      for (const partNumber of queue) await sendPart(partNumber)
    } catch (error) {
      failure.abort(error)
      throw error
    }
  })
  // All of them have let go of the file before this ends.
  await Promise.allSettled(lanes)
  signal.throwIfAborted()
  return [...etags]
    .map(([partNumber, etag]) => ({ partNumber, etag }))
    .sort((a, b) => a.partNumber - b.partNumber)

  function tell(): void {
    onSent([...sentBytes.values()].reduce((sum, bytes) => sum + bytes, 0))
  }

  async function sendPart(partNumber: number): Promise<void> {
    const start = (partNumber - 1) * plan.partSize
    const body = file.slice(start, Math.min(start + plan.partSize, file.size))
    const report = (bytes: number) => {
      sentBytes.set(partNumber, bytes)
      tell()
    }
    let renewals = 0
    const send = async () => {
      const url = await urlOf(partNumber)
      const onProgress = (share: number) => report(Math.round(share * body.size))
      try {
        return await sendBody({ method: 'PUT', url, body, onProgress, signal })
      } catch (error) {
        report(0)
        // The batch was signed together and has expired together, unless another part has renewed it.
        if (isForbidden(error) && urls.get(partNumber) === url) urls.clear()
        throw error
      }
    }
    const passes = (error: unknown) => {
      if (!isForbidden(error)) return isRetryable(error)
      renewals += 1
      return renewals <= renewalsOfPart
    }
    const etag = await retry(send, { signal, passes })
    if (etag === null) {
      throw new SendError(0, 'The storage hides the ETag of what it received: its CORS rules must expose it.')
    }
    etags.set(partNumber, etag.replaceAll('"', ''))
  }

  async function urlOf(partNumber: number): Promise<string> {
    while (signing && !urls.has(partNumber)) await signing
    if (!urls.has(partNumber)) {
      signing = signFrom(partNumber).finally(() => {
        signing = undefined
      })
      await signing
    }
    const url = urls.get(partNumber)
    if (url === undefined) throw new Error(`The API did not sign part ${partNumber}.`)
    return url
  }

  async function signFrom(partNumber: number): Promise<void> {
    const wanted = missing.filter((number) => number >= partNumber && !etags.has(number))
    const { parts } = dataOf(
      await api.POST('/uploads/{id}/parts', {
        params: { path: { id } },
        body: { partNumbers: wanted.slice(0, signedAtOnce) },
        signal,
      }),
    )
    for (const part of parts) urls.set(part.partNumber, part.url)
  }
}

function isForbidden(error: unknown): boolean {
  return error instanceof SendError && error.status === forbidden
}
