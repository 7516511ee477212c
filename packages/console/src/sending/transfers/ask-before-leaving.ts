import { effect, type ReadonlySignal } from '@preact/signals'
import { isUnsent, type SendingFile } from '../sending-file.ts'

/** Makes the browser ask before the page is left while files are not sent. */
export function askBeforeLeaving(files: ReadonlySignal<readonly SendingFile[]>): void {
  effect(() => {
    if (!files.value.some(isUnsent)) return undefined
    const onBeforeUnload = (event: BeforeUnloadEvent) => event.preventDefault()
    addEventListener('beforeunload', onBeforeUnload)
    return () => removeEventListener('beforeunload', onBeforeUnload)
  })
}
