import type { components } from '../api/api-types.ts'
import { ApiProblem } from '../api/millrace-error.ts'
import type { Upload } from '../api/upload.ts'
import { isMultipartGone, maxRenewals, needsSignature } from './s3-errors.ts'
import type { SendBody } from './send-body.ts'
import { sendParts } from './send-parts.ts'
import { sendWhole } from './send-whole.ts'
import { startAnew, type Transfer } from './transfer.ts'
import { isNotFound, type UploadRequests } from './upload-requests.ts'

type Schemas = components['schemas']

/** How often the parts are completed. Before each further time, those that S3 does not have are sent again. */
const maxCompletions = 2

export type SendFile = ReturnType<typeof createSendFile>

/** Creates the function that sends a file straight to S3, with one request or in parts: the API decides which. */
export function createSendFile(deps: { requests: UploadRequests; sendBody: SendBody }) {
  const { requests, sendBody } = deps

  /**
   * Sends a file, or the rest of it if some parts are in S3 already.
   *
   * @param transfer what is known of the file's upload; it is updated
   * @param options.onChange called when `transfer` has changed
   * @param options.onSent called with the number of bytes sent so far; it may decrease
   * @returns the upload, once S3 has all its bytes
   * @throws ApiProblem, SendError; the signal's reason if it aborts
   */
  return async function sendFile(
    file: Blob,
    transfer: Transfer,
    options: { onChange: () => void; onSent: (bytes: number) => void; signal: AbortSignal },
  ): Promise<Upload> {
    const { onChange, onSent, signal } = options
    let canStartAnew = true
    for (;;) {
      try {
        return await (transfer.isInParts && transfer.id !== undefined
          ? continueParts(transfer.id)
          : announceAndSend())
      } catch (error) {
        signal.throwIfAborted()
        const upload = await findInstead(error)
        if (upload) return upload
        if (!canStartAnew) throw error
        canStartAnew = false
        startAnew(transfer)
      }
    }

    async function announceAndSend(): Promise<Upload> {
      for (let renewals = 0; ; renewals += 1) {
        const announced = await announce()
        const { id, transport } = announced
        onSent(0)
        if (transport.kind === 'multipart') {
          return sendAllParts(id, transport, transport.parts, [])
        }
        // S3 has the file: an earlier attempt with the same Idempotency-Key was executed.
        if (transport.kind === 'none') return requests.find(id, signal)
        if (transport.kind === 'import')
          throw new TypeError(`This client cannot send a file with the transport "${transport.kind}".`)
        try {
          await sendWhole({ sendBody, transport, file, onSent, signal })
          return await requests.find(id, signal)
        } catch (error) {
          if (!needsSignature(error) || renewals >= maxRenewals) throw error
        }
      }
    }

    /** Announces the file, or announces it again to get fresh signatures. */
    async function announce(): Promise<Schemas['AnnouncedUpload']> {
      const earlierId = transfer.id
      // Before, so that nothing is announced that another page could not find.
      onChange()
      const announced = await requests.announce(transfer, signal)
      const { id, transport, expiresAt } = announced
      const isOther = earlierId !== undefined && earlierId !== id
      const earlier = isOther ? await findIfThere(earlierId) : undefined
      if (earlier && earlier.state !== 'awaiting') {
        await requests.erase(id, signal)
        return { id: earlier.id, state: earlier.state, transport: { kind: 'none' } }
      }
      transfer.id = id
      transfer.isKnown = true
      transfer.isInParts = transport.kind === 'multipart'
      if (expiresAt !== undefined) transfer.expiresAtMs = Date.parse(expiresAt)
      onChange()
      // The API forgets keys after a day. Only one upload may remain.
      if (earlier) await requests.erase(earlier.id, signal)
      return announced
    }

    async function continueParts(id: string): Promise<Upload> {
      try {
        const { parts, ...plan } = await requests.listParts(id, signal)
        transfer.isKnown = true
        onChange()
        return await sendAllParts(id, plan, [], parts)
      } catch (error) {
        if (error instanceof ApiProblem && error.code === 'upload_closed') return requests.find(id, signal)
        throw error
      }
    }

    async function sendAllParts(
      id: string,
      plan: { partSize: number; partCount: number },
      urls: Schemas['PartUrl'][],
      received: Schemas['SentPart'][],
    ): Promise<Upload> {
      for (let completions = 1; ; completions += 1) {
        const parts = await sendParts({ requests, sendBody, id, plan, urls, file, received, onSent, signal })
        try {
          return await requests.complete(id, parts, signal)
        } catch (error) {
          const isMismatch = error instanceof ApiProblem && error.code === 'parts_mismatch'
          if (!isMismatch || completions >= maxCompletions) throw error
        }
        // A part with another etag has other bytes than those that were sent from here.
        const etags = new Map(parts.map(({ partNumber, etag }) => [partNumber, etag]))
        const listed = await requests.listParts(id, signal)
        received = listed.parts.filter(({ partNumber, etag }) => etags.get(partNumber) === etag)
      }
    }

    /**
     * Decides what to do if S3 or the API does not have the upload any more.
     *
     * @returns the upload if S3 has the whole file; undefined if the file must be sent as a new upload
     * @throws the error, if it has another cause, or if the upload was erased
     */
    async function findInstead(error: unknown): Promise<Upload | undefined> {
      const { id, isKnown, expiresAtMs = 0 } = transfer
      if (!(isMultipartGone(error) || isNotFound(error))) throw error
      const upload = id === undefined ? undefined : await findIfThere(id)
      if (upload && upload.state !== 'awaiting') return upload
      // S3 has nothing of it, so nothing is lost.
      if (upload) await requests.erase(upload.id, signal)
      // Somebody erased it while it was sent, and an erased file must not come back.
      else if (isKnown && Date.now() < expiresAtMs) throw error
      return undefined
    }

    async function findIfThere(id: string): Promise<Upload | undefined> {
      try {
        return await requests.find(id, signal)
      } catch (error) {
        if (isNotFound(error)) return undefined
        throw error
      }
    }
  }
}
