import { once } from 'node:events'
import { type Agent, request } from 'node:http'
import { text } from 'node:stream/consumers'

const MiB = 1024 ** 2
const piece = Buffer.alloc(
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

/** A file to send: as it is, as the only one of a form, or by tus, announced and sent in one request. */
export type Shipment = {
  port: number
  path: string
  as: keyof typeof contentTypes
  sizeMiB: number
  agent: Agent
}

/**
 * Sends a file as fast as it is taken.
 * @throws Error when the answer is not 201
 */
export async function sendFile({ port, path, as, sizeMiB, agent }: Shipment): Promise<void> {
  const frame = as === 'form' ? head.length + tail.length : 0
  const sent = request({
    port,
    path,
    agent,
    method: 'POST',
    headers: {
      'content-type': contentTypes[as],
      'content-length': sizeMiB * MiB + frame,
      ...(as === 'tus' && { 'tus-resumable': '1.0.0', 'upload-length': sizeMiB * MiB }),
    },
  })
  const answered = once(sent, 'response')
  if (as === 'form') sent.write(head)
  for (let count = 0; count < sizeMiB; count++) if (!sent.write(piece)) await once(sent, 'drain')
  sent.end(as === 'form' ? tail : undefined)
  const [response] = await answered
  const body = await text(response)
  if (response.statusCode !== 201) throw new Error(`${response.statusCode} ${body}`)
}
