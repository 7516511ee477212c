import { Announced } from '@millrace/api/uploads/upload-routes.ts'
import { UploadView } from '@millrace/api/uploads/upload-view.ts'
import type { Static } from 'typebox'
import { bodyOf, type HttpClient } from './http-client.ts'
import { oneBody } from './one-body.ts'

export type AnnouncedUpload = Static<typeof Announced>
type FormTransport = Extract<AnnouncedUpload['transport'], { kind: 'form' }>
type PutTransport = Extract<AnnouncedUpload['transport'], { kind: 'put' }>
type MultipartTransport = Extract<AnnouncedUpload['transport'], { kind: 'multipart' }>

/**
 * Announces a file.
 *
 * @param size in bytes
 * @param fields replace or extend the announcement of a JPEG
 */
export async function announce(
  client: HttpClient,
  size: number,
  fields: {
    filename?: string
    contentType?: string
    preset?: string
    sha256?: string
    metadata?: Record<string, string>
    transport?: 'form' | 'put'
  } = {},
): Promise<AnnouncedUpload> {
  const response = await client.post('/uploads', {
    filename: 'photo.jpg',
    contentType: 'image/jpeg',
    size,
    ...fields,
  })
  return bodyOf(response, Announced)
}

/** Returns the form of an upload. Throws if its transport is not a form. */
export function formOf({ transport }: AnnouncedUpload): FormTransport {
  if (transport.kind !== 'form') throw new Error(`transport.kind is "${transport.kind}", not "form".`)
  return transport
}

/** Returns the PUT of an upload. Throws if it has another transport. */
export function putOf({ transport }: AnnouncedUpload): PutTransport {
  if (transport.kind !== 'put') throw new Error(`transport.kind is "${transport.kind}", not "put".`)
  return transport
}

/** Returns the multipart transport of an upload. Throws if it has another transport. */
export function multipartOf({ transport }: AnnouncedUpload): MultipartTransport {
  if (transport.kind !== 'multipart')
    throw new Error(`transport.kind is "${transport.kind}", not "multipart".`)
  return transport
}

/**
 * Sends a form to S3: the fields, then the file.
 *
 * @param changes form fields that replace or extend the signed ones
 */
export async function sendForm(
  { url, fields }: FormTransport,
  bytes: Uint8Array<ArrayBuffer>,
  changes: Record<string, string> = {},
): Promise<Response> {
  const form = new FormData()
  for (const [name, value] of Object.entries({ ...fields, ...changes })) form.append(name, value)
  form.append('file', new Blob([bytes]), 'file')
  return fetch(url, { ...oneBody, method: 'POST', body: form })
}

/** Sends one part to its signed URL. Returns the `ETag` header of S3's response. */
export async function sendPart(url: string, bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const response = await fetch(url, { ...oneBody, method: 'PUT', body: bytes })
  if (!response.ok) throw new Error(`S3 refused the part: ${response.status} ${await response.text()}`)
  return response.headers.get('etag') ?? ''
}

/** Reads an upload as this client sees it. */
export async function readUpload(client: HttpClient, id: string): Promise<UploadView> {
  return bodyOf(await client.get(`/uploads/${id}`), UploadView)
}
