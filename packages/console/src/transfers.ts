import { type Announced, type Api, ApiProblem } from './api.ts'
import { SendError } from './send-body.ts'
import { sendForm } from './send-form.ts'
import { sendParts } from './send-parts.ts'
import { createSlots } from './slots.ts'
import { createSpeedometer } from './speedometer.ts'
import { mayPass, tryAgain } from './try-again.ts'

/** Files on their way at once; the others are not announced yet, so that nothing signed for them expires. */
const filesAtOnce = 4
/** Requests to S3 at once, over all files. Browsers open six connections a host at most (HTTP/1.1). */
const requestsAtOnce = 5
/** A form is not tried once more when what it was signed for ends so soon, in milliseconds. */
const expiryMarginMs = 60_000

/** How the bytes of one file are getting along. `sent` means that S3 has them all. */
export type Transfer =
  | { phase: 'queued' | 'starting' | 'completing' | 'sent' | 'cancelled' }
  | { phase: 'sending'; sentBytes: number; bytesPerSecond: number | undefined }
  | { phase: 'failed'; problem: string; retryable: boolean }

/**
 * Carries files from this page to S3: announced to the API, sent as a form or in parts, completed.
 *
 * @param deps.onTransfer told of every step of a file, by the key it was given in with
 * @param deps.onAnnounced told of the id that a file's upload has got
 */
export function createTransfers(deps: {
  api: Api
  onTransfer: (key: string, transfer: Transfer) => void
  onAnnounced: (key: string, id: string) => void
}) {
  const { api, onTransfer, onAnnounced } = deps
  const lanes = createSlots(filesAtOnce)
  const slots = createSlots(requestsAtOnce)
  const files = new Map<string, { file: File; announced?: Announced; cancel: AbortController }>()

  return {
    /** Sends a file. @param key names it from now on */
    async start(key: string, file: File): Promise<void> {
      files.set(key, { file, cancel: new AbortController() })
      await run(key)
    },

    /** Sends a file that failed or was cancelled again: what S3 has of it stays there. */
    async retry(key: string): Promise<void> {
      const known = files.get(key)
      if (!known) return
      known.cancel = new AbortController()
      await run(key)
    },

    /** Stops sending. */
    cancel(key: string): void {
      files.get(key)?.cancel.abort()
      onTransfer(key, { phase: 'cancelled' })
    },
  }

  async function run(key: string): Promise<void> {
    const known = files.get(key)
    if (!known) return
    const { signal } = known.cancel
    if (known.file.size === 0) {
      return onTransfer(key, { phase: 'failed', problem: 'The file is empty.', retryable: false })
    }
    onTransfer(key, { phase: 'queued' })
    try {
      await lanes.use(signal, () => send(key, signal))
    } catch (error) {
      if (signal.aborted) return
      // An earlier try has completed it and its answer was lost.
      const isClosed = error instanceof ApiProblem && error.code === 'upload_closed'
      if (!isClosed) return onTransfer(key, { phase: 'failed', ...explain(error) })
    }
    files.delete(key)
    onTransfer(key, { phase: 'sent' })
  }

  async function send(key: string, signal: AbortSignal): Promise<void> {
    const known = files.get(key)
    if (!known) return
    const { file } = known
    onTransfer(key, { phase: 'starting' })
    const again = known.announced && Date.parse(known.announced.expiresAt) > Date.now() + expiryMarginMs
    const announced = again && known.announced ? known.announced : await announce(file, signal)
    known.announced = announced
    onAnnounced(key, announced.id)
    const { id, transport } = announced
    const onSent = createProgress(key, signal)
    onSent(0)
    if (transport.kind === 'form') return sendForm({ transport, file, slots, onSent, signal })
    const received = again ? await tryAgain(() => api.receivedParts(id, signal), { signal }) : []
    const parts = await sendParts({ api, id, transport, file, received, slots, onSent, signal })
    onTransfer(key, { phase: 'completing' })
    await tryAgain(() => api.complete(id, parts, signal), { signal })
  }

  function announce(file: File, signal: AbortSignal): Promise<Announced> {
    const contentType = file.type || 'application/octet-stream'
    const intent = { filename: file.name, contentType, size: file.size }
    // Without an answer the upload may have been announced all the same, so only a refusal is tried again.
    const passes = (error: unknown) => error instanceof ApiProblem && mayPass(error)
    return tryAgain(() => api.announce(intent, signal), { signal, passes })
  }

  /** Bytes that leave a second time are not shown as a step back. */
  function createProgress(key: string, signal: AbortSignal) {
    const speedometer = createSpeedometer()
    let mostBytes = 0
    return (bytes: number) => {
      // What is being cancelled may still have its say.
      if (signal.aborted) return
      mostBytes = Math.max(mostBytes, bytes)
      const bytesPerSecond = speedometer.read(mostBytes)
      onTransfer(key, { phase: 'sending', sentBytes: mostBytes, bytesPerSecond })
    }
  }
}

export type Transfers = ReturnType<typeof createTransfers>

function explain(error: unknown): { problem: string; retryable: boolean } {
  if (error instanceof SendError) return { problem: error.message, retryable: true }
  if (error instanceof ApiProblem) return { problem: error.message, retryable: mayPass(error) }
  if (error instanceof TypeError) return { problem: 'The server could not be reached.', retryable: true }
  return { problem: error instanceof Error ? error.message : String(error), retryable: true }
}
