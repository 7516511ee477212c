import Type from 'typebox'
import { Compile } from 'typebox/compile'
import type { SampleFile } from './corpus.ts'

const UploadReply = Compile(Type.Object({ id: Type.String() }))

export type Uploader = Awaited<ReturnType<typeof startUploader>>

/**
 * Opens a session and its event stream, to send files and to see when they are finished.
 * @param url the API's origin
 */
export async function startUploader(url: string) {
  const { headers } = await fetch(`${url}/session`)
  const cookie = headers.getSetCookie()[0]?.split(';')[0] ?? ''
  const stopping = new AbortController()
  const events = await fetch(`${url}/events`, { headers: { cookie }, signal: stopping.signal })
  const finished = new Set<string>()
  let onFinished = () => {}
  const reading = readEvents(events, (upload) => {
    if (upload.state === 'rejected' || upload.state === 'failed')
      throw new Error(`${upload.filename} is ${upload.state}.`)
    if (upload.state !== 'ready') return
    finished.add(upload.id)
    onFinished()
  }).catch((error: unknown) => {
    if (!stopping.signal.aborted) throw error
  })

  async function send({ name, bytes }: SampleFile): Promise<string> {
    const response = await fetch(`${url}/upload?filename=${name}`, {
      method: 'POST',
      headers: { cookie, 'content-type': 'application/octet-stream' },
      body: new Uint8Array(bytes),
    })
    if (!response.ok) throw new Error(`${name}: ${response.status} ${await response.text()}`)
    return UploadReply.Parse(await response.json()).id
  }

  return {
    /** Sends files, some at a time, and waits until all are ready. */
    async process(files: readonly SampleFile[], atOnce: number): Promise<void> {
      const waiting = [...files]
      const ids: string[] = []
      const sendNext = async () => {
        for (let file = waiting.shift(); file; file = waiting.shift()) ids.push(await send(file))
      }
      await Promise.race([reading, Promise.all(Array.from({ length: atOnce }, sendNext))])
      const done = Promise.withResolvers<void>()
      onFinished = () => {
        if (ids.every((id) => finished.has(id))) done.resolve()
      }
      onFinished()
      await Promise.race([done.promise, reading])
      for (const id of ids) finished.delete(id)
    },

    async close(): Promise<void> {
      stopping.abort()
      await reading
    },
  }
}

type UploadEvent = { id: string; state: string; filename: string }

/** Reads server-sent events (WHATWG HTML, 9.2) until the stream ends. @throws Error if it ends */
async function readEvents(response: Response, onUpload: (upload: UploadEvent) => void): Promise<never> {
  const decoder = new TextDecoderStream()
  let text = ''
  for await (const chunk of response.body?.pipeThrough(decoder) ?? []) {
    const events = (text + chunk).split('\n\n')
    text = events.pop() ?? ''
    for (const event of events) {
      const data = /^data: ?(.*)$/m.exec(event)?.[1]
      if (/^event: ?upload$/m.test(event) && data !== undefined) onUpload(JSON.parse(data))
    }
  }
  throw new Error('The event stream ended.')
}
