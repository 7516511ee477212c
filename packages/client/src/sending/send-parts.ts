import type { components } from '../api/api-types.ts'
import { isRetryable, retry } from '../api/retry.ts'
import { maxRenewals, needsSignature } from './s3-errors.ts'
import type { SendBody } from './send-body.ts'
import type { UploadRequests } from './upload-requests.ts'

type SentPart = components['schemas']['SentPart']

/** Parts of one file that are sent at the same time. */
const concurrentParts = 4
/** The API signs at most this many parts per request. */
const maxSignedParts = 100

/**
 * Sends a file in parts, several at a time. Each part is retried on its own. Signed URLs are requested in
 * batches when they are needed, and again when S3 reports that they have expired.
 *
 * @param options.plan `partSize` in bytes
 * @param options.urls URLs that are signed already
 * @param options.received parts that S3 has already, from an earlier attempt
 * @param options.onSent called with the number of bytes sent so far; it decreases when a part starts again
 * @returns all parts in ascending order, as the completing request needs them
 * @throws SendError, ApiProblem; the signal's reason if it aborts
 */
export async function sendParts(options: {
  sendBody: SendBody
  requests: Pick<UploadRequests, 'signParts' | 'listParts'>
  id: string
  plan: { partSize: number; partCount: number }
  urls: components['schemas']['PartUrl'][]
  file: Blob
  received: SentPart[]
  onSent: (bytes: number) => void
  signal: AbortSignal
}): Promise<{ partNumber: number; etag: string }[]> {
  const { requests, sendBody, id, plan, file, onSent } = options
  const received = options.received.filter(isWhole)
  /** The parts that S3 has. The etag is null if the response did not expose it. */
  const etags = new Map<number, string | null>(received.map(({ partNumber, etag }) => [partNumber, etag]))
  const sentBytes = new Map(received.map(({ partNumber, size }) => [partNumber, size]))
  const urls = new Map(options.urls.map(({ partNumber, url }) => [partNumber, url]))
  const missing = Array.from({ length: plan.partCount }, (_, index) => index + 1).filter((n) => !etags.has(n))
  let signing: Promise<void> | undefined
  reportSent()

  // A part that fails after its retries aborts the others.
  const failure = new AbortController()
  const signal = AbortSignal.any([options.signal, failure.signal])
  const queue = missing.values()
  const senders = Array.from({ length: concurrentParts }, async () => {
    try {
      for (const partNumber of queue) await sendPart(partNumber)
    } catch (error) {
      failure.abort(error)
      throw error
    }
  })
  // Waits for all of them, so that nothing reads the file after this function has ended.
  await Promise.allSettled(senders)
  signal.throwIfAborted()
  await findHiddenEtags()
  return [...etags]
    .flatMap(([partNumber, etag]) => (etag === null ? [] : [{ partNumber, etag }]))
    .sort((a, b) => a.partNumber - b.partNumber)

  function bytesOf(partNumber: number): number {
    return Math.min(plan.partSize, file.size - (partNumber - 1) * plan.partSize)
  }

  function isWhole({ partNumber, size }: SentPart): boolean {
    return size === bytesOf(partNumber)
  }

  function reportSent(): void {
    onSent([...sentBytes.values()].reduce((sum, bytes) => sum + bytes, 0))
  }

  async function sendPart(partNumber: number): Promise<void> {
    const start = (partNumber - 1) * plan.partSize
    const body = file.slice(start, start + bytesOf(partNumber))
    const setSent = (bytes: number) => {
      sentBytes.set(partNumber, bytes)
      reportSent()
    }
    let renewals = 0
    const send = async () => {
      const url = await urlOf(partNumber)
      const onProgress = (share: number) => setSent(Math.round(share * body.size))
      try {
        return await sendBody({ method: 'PUT', url, body, onProgress, signal })
      } catch (error) {
        setSent(0)
        // URLs of a batch expire together, so all are dropped, unless another part has renewed them already.
        if (needsSignature(error) && urls.get(partNumber) === url) urls.clear()
        throw error
      }
    }
    const isPartRetryable = (error: unknown) => {
      if (!needsSignature(error)) return isRetryable(error)
      renewals += 1
      return renewals <= maxRenewals
    }
    const etag = await retry(send, { signal, isRetryable: isPartRetryable })
    etags.set(partNumber, etag?.replaceAll('"', '') ?? null)
  }

  /** If the bucket's CORS rules do not expose ETag, the API tells the etags: it lists the parts. */
  async function findHiddenEtags(): Promise<void> {
    if (![...etags.values()].includes(null)) return
    const { parts } = await requests.listParts(id, signal)
    for (const { partNumber, etag } of parts.filter(isWhole)) etags.set(partNumber, etag)
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
    const unsent = missing.filter((number) => number >= partNumber && !etags.has(number))
    const parts = await requests.signParts(id, unsent.slice(0, maxSignedParts), signal)
    for (const part of parts) urls.set(part.partNumber, part.url)
  }
}
