import type { Api, MultipartTransport, ReceivedPart } from './api.ts'
import { SendError, sendBody } from './send-body.ts'
import type { Slots } from './slots.ts'
import { mayPass, tryAgain } from './try-again.ts'

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
 * @param options.received parts that S3 has already, from an earlier try
 * @param options.slots shared by all that is sent to S3
 * @param options.onSent gets the bytes of the file that have left; falls back when a part starts over
 * @returns all parts in their order, as completing wants them
 * @throws SendError, ApiProblem; the signal's reason where it aborts
 */
export async function sendParts(options: {
  api: Pick<Api, 'signParts'>
  id: string
  transport: MultipartTransport
  file: File
  received: ReceivedPart[]
  slots: Slots
  onSent: (bytes: number) => void
  signal: AbortSignal
}): Promise<{ partNumber: number; etag: string }[]> {
  const { api, id, transport, file, slots, onSent } = options
  const { partSize, partCount } = transport
  const etags = new Map(options.received.map(({ partNumber, etag }) => [partNumber, etag]))
  const sentBytes = new Map(options.received.map(({ partNumber, size }) => [partNumber, size]))
  const missing = Array.from({ length: partCount }, (_, index) => index + 1).filter(
    (part) => !etags.has(part),
  )
  const urls = new Map(transport.parts.map(({ partNumber, url }) => [partNumber, url]))
  let signing: Promise<void> | undefined

  // One part that fails for good stops the others.
  const failure = new AbortController()
  const signal = AbortSignal.any([options.signal, failure.signal])

  const queue = missing.values()
  await Promise.all(
    Array.from({ length: partsAtOnce }, async () => {
      for (const partNumber of queue) await sendPart(partNumber)
    }),
  ).catch((error: unknown) => {
    failure.abort(error)
    throw error
  })
  return [...etags].map(([partNumber, etag]) => ({ partNumber, etag })).sort(byPartNumber)

  async function sendPart(partNumber: number): Promise<void> {
    const start = (partNumber - 1) * partSize
    const body = file.slice(start, Math.min(start + partSize, file.size))
    const report = (bytes: number) => {
      sentBytes.set(partNumber, bytes)
      onSent([...sentBytes.values()].reduce((sum, sent) => sum + sent, 0))
    }
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
    let renewals = 0
    const passes = (error: unknown) => {
      if (!isForbidden(error)) return mayPass(error)
      renewals += 1
      return renewals <= renewalsOfPart
    }
    const etag = await tryAgain(() => slots.use(signal, send), { signal, passes })
    if (etag === null) {
      throw new SendError(0, 'The storage hides the ETag of what it received: its CORS rules must expose it.')
    }
    report(body.size)
    etags.set(partNumber, etag)
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
    const parts = await api.signParts(id, wanted.slice(0, signedAtOnce), signal)
    for (const part of parts) urls.set(part.partNumber, part.url)
  }
}

function isForbidden(error: unknown): boolean {
  return error instanceof SendError && error.status === forbidden
}

function byPartNumber(one: { partNumber: number }, other: { partNumber: number }): number {
  return one.partNumber - other.partNumber
}
