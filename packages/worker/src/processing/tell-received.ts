import type { Manifests } from '@millrace/shared/ledger/manifest.ts'
import { type Arrival, isSameArrival, type Upload } from '@millrace/shared/uploads/upload.ts'
import { arrivalCause, type Outbox } from '@millrace/shared/webhooks/outbox.ts'

/**
 * Tells webhooks that a file was received. A worker does so before its first attempt changes anything: after a crash the next
 * attempt finds the upload as it was, and writes the same event.
 */
export function createTellReceived(deps: {
  manifests: Pick<Manifests, 'read'>
  outbox: Pick<Outbox, 'isWanted' | 'add' | 'announce'>
}) {
  const { manifests, outbox } = deps

  /** @param arrival the bytes that arrived. None are told that have a manifest: the upload is only processed again */
  return async function tellReceived(upload: Upload, arrival: Arrival): Promise<void> {
    const type = 'upload.received'
    if (!(await outbox.isWanted(type, upload.owner))) return
    const manifest = await manifests.read(upload)
    if (manifest && isSameArrival(manifest.arrival, arrival)) return
    const received: Upload = { ...upload, state: 'received', arrival }
    const at = new Date().toISOString()
    const event = await outbox.add({ type, upload: received, at, cause: arrivalCause(arrival) })
    if (event) await outbox.announce(event)
  }
}

export type TellReceived = ReturnType<typeof createTellReceived>
