import { effect } from '@preact/signals'
import { useEffect, useState } from 'preact/hooks'
import type { UploadStore } from './store/upload-store.ts'
import { outcomeText } from './upload-state.ts'

/** Of so many uploads at the beginning of the list, outcomes are read: newer ones end sooner. */
const watched = 50

/** Lets screen readers read the outcome of each upload that ends while the page is open. */
export function Outcomes({ store }: { store: UploadStore }) {
  const [latest, setLatest] = useState('')
  useEffect(() => {
    const before = new Map<string, string>()
    return effect(() => {
      for (const id of store.ids.value.slice(0, watched)) {
        const upload = store.entryOf(id).value?.upload
        if (!upload) continue
        const last = before.get(id)
        before.set(id, upload.state)
        // Uploads that had ended when they were first shown are not news.
        if (last !== undefined && last !== upload.state) setLatest(outcomeText(upload) ?? '')
      }
    })
  }, [store])
  return (
    <p class="visually-hidden" role="status" aria-live="polite">
      {latest}
    </p>
  )
}
