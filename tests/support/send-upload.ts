import { Announced } from '@millrace/api/uploads/upload-routes.ts'
import { UploadView } from '@millrace/api/uploads/upload-view.ts'
import type { Static } from 'typebox'
import { bodyOf, type HttpClient } from './http-client.ts'

export type AnnouncedUpload = Static<typeof Announced>
type FormTransport = Extract<AnnouncedUpload['transport'], { kind: 'form' }>
type MultipartTransport = Extract<AnnouncedUpload['transport'], { kind: 'multipart' }>

/** Announces a file, as a well-behaved client does. */
export async function announce(
  client: HttpClient,
  size: number,
  more: {
    filename?: string
    contentType?: string
    preset?: string
    sha256?: string
    metadata?: Record<string, string>
  } = {},
): Promise<AnnouncedUpload> {
  const answer = await client.post('/uploads', {
    filename: 'photo.jpg',
    contentType: 'image/jpeg',
    size,
    ...more,
  })
  return bodyOf(answer, Announced)
}

export function formOf({ transport }: AnnouncedUpload): FormTransport {
  if (transport.kind !== 'form') throw new Error('This upload does not go up as a form.')
  return transport
}

export function multipartOf({ transport }: AnnouncedUpload): MultipartTransport {
  if (transport.kind !== 'multipart') throw new Error('This upload does not go up in parts.')
  return transport
}

/** Sends a form to S3: the fields, then the file. `change` replaces fields, to see what S3 makes of it. */
export async function sendForm(
  { url, fields }: FormTransport,
  bytes: Uint8Array<ArrayBuffer>,
  change: Record<string, string> = {},
): Promise<Response> {
  const form = new FormData()
  for (const [name, value] of Object.entries({ ...fields, ...change })) form.append(name, value)
  form.append('file', new Blob([bytes]), 'file')
  return fetch(url, { method: 'POST', body: form })
}

/** Sends one part to the URL that was signed for it. @returns its etag, as S3 answered */
export async function sendPart(url: string, bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const response = await fetch(url, { method: 'PUT', body: bytes })
  if (!response.ok) throw new Error(`S3 refused the part: ${response.status} ${await response.text()}`)
  return response.headers.get('etag') ?? ''
}

/** An upload as the API shows it to this client. */
export async function look(client: HttpClient, id: string): Promise<UploadView> {
  return bodyOf(await client.get(`/uploads/${id}`), UploadView)
}
