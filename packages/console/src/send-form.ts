import type { FormTransport } from './api.ts'
import { sendBody } from './send-body.ts'
import type { Slots } from './slots.ts'
import { tryAgain } from './try-again.ts'

/**
 * Sends a whole file as one signed form (S3's POST Object). S3 ignores every field after `file`, so that is
 * the last one.
 *
 * @param options.slots shared by all that is sent to S3
 * @param options.onSent gets the bytes of the file that have left
 * @throws SendError; the signal's reason where it aborts
 */
export async function sendForm(options: {
  transport: FormTransport
  file: File
  slots: Slots
  onSent: (bytes: number) => void
  signal: AbortSignal
}): Promise<void> {
  const { transport, file, slots, onSent, signal } = options
  const body = new FormData()
  for (const [name, value] of Object.entries(transport.fields)) body.append(name, value)
  body.append('file', file)
  // The form is a little larger than the file, so its progress is told as a share.
  const onProgress = (share: number) => onSent(Math.round(share * file.size))
  const send = () => sendBody({ method: 'POST', url: transport.url, body, onProgress, signal })
  await tryAgain(() => slots.use(signal, send), { signal })
}
