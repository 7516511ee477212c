import { once } from 'node:events'
import { type Agent, request } from 'node:http'
import { text } from 'node:stream/consumers'

const MiB = 1024 ** 2
const mebibyte = Buffer.alloc(
  MiB,
  Uint8Array.from({ length: 251 }, (_, index) => index),
)
const head = Buffer.from(
  '--frontier\r\ncontent-disposition: form-data; name="file"; filename="a.bin"\r\ncontent-type: application/octet-stream\r\n\r\n',
)
const tail = Buffer.from('\r\n--frontier--\r\n')

const contentTypes = {
  raw: 'application/octet-stream',
  form: 'multipart/form-data; boundary=frontier',
  tus: 'application/offset+octet-stream',
}

/** A file to send: as a raw body, as the only file of a form, or by tus with creation and data in one request. */
export type FileToSend = {
  port: number
  path: string
  as: keyof typeof contentTypes
  sizeMiB: number
  agent: Agent
}

/**
 * Sends a file as fast as the server accepts it.
 * @throws Error if the response is not 201
 */
export async function sendFile({ port, path, as, sizeMiB, agent }: FileToSend): Promise<void> {
  const formBytes = as === 'form' ? head.length + tail.length : 0
  const outgoing = request({
    port,
    path,
    agent,
    method: 'POST',
    headers: {
      'content-type': contentTypes[as],
      'content-length': sizeMiB * MiB + formBytes,
      ...(as === 'tus' && { 'tus-resumable': '1.0.0', 'upload-length': sizeMiB * MiB }),
    },
  })
  const responded = once(outgoing, 'response')
  if (as === 'form') outgoing.write(head)
  for (let count = 0; count < sizeMiB; count++) if (!outgoing.write(mebibyte)) await once(outgoing, 'drain')
  outgoing.end(as === 'form' ? tail : undefined)
  const [response] = await responded
  const body = await text(response)
  if (response.statusCode !== 201) throw new Error(`${response.statusCode} ${body}`)
}
