import type { Upload } from '@millrace/shared/uploads/upload.ts'
import type { Outbox } from '@millrace/shared/webhooks/outbox.ts'

/**
 * Tells webhooks of imports that ended without bytes. Only their record in Redis has the outcome, so it is changed first, and
 * the event is written after it: again by the next attempt, if the worker died in between.
 */
export function createTellImport({ outbox }: { outbox: Pick<Outbox, 'add' | 'announce'> }) {
  /** @param upload as it is in Redis; nothing is told of one with bytes, or without an outcome */
  return async function tellImport(upload: Upload): Promise<void> {
    const { state, arrival, updatedAt: at } = upload
    if (arrival || (state !== 'rejected' && state !== 'failed')) return
    const event = await outbox.add({ type: `upload.${state}`, upload, at, cause: '', needsNoManifest: true })
    if (event) await outbox.announce(event)
  }
}

export type TellImport = ReturnType<typeof createTellImport>
