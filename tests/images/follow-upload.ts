import { UploadView } from '@millrace/api/uploads/upload-view.ts'
import { Compile } from 'typebox/compile'
import { openEventStream } from '../support/event-stream.ts'
import type { HttpClient } from '../support/http-client.ts'

const view = Compile(UploadView)

/**
 * Follows an upload's events until it is in one of the states, and returns it as it was then.
 *
 * @param origin of the API
 * @throws Error if its events end before
 */
export async function followUpload(
  origin: string,
  client: HttpClient,
  id: string,
  ...states: UploadView['state'][]
): Promise<UploadView> {
  const stream = await openEventStream(new URL(`/uploads/${id}/events`, origin), client)
  try {
    for (let last = ''; ; ) {
      const event = await stream.next()
      if (!event) throw new Error(`The events ended at "${last}", before ${states.join(' or ')}.`)
      if (event.event !== 'upload') continue
      const upload = view.Parse(event.data)
      if (states.includes(upload.state)) return upload
      last = upload.state
    }
  } finally {
    stream.close()
  }
}
