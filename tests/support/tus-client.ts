import { createHash } from 'node:crypto'
import { request } from 'node:http'
import type { HttpClient } from './http-client.ts'
import { oneBody } from './one-body.ts'

/** Builds the header `Upload-Metadata`. */
export function tusMetadata(fields: Record<string, string>): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name} ${Buffer.from(value).toString('base64')}`)
    .join(',')
}

/** Builds the header `Upload-Checksum` of these bytes. */
export function tusChecksum(bytes: Uint8Array, algorithm = 'sha1'): string {
  return `${algorithm} ${createHash(algorithm).update(bytes).digest('base64')}`
}

/** Creates a tus upload. Returns its path. */
export async function createTus(
  client: HttpClient,
  size: number,
  fields: Record<string, string> = { filename: 'a.bin' },
): Promise<string> {
  const { status, headers, body } = await client.request('POST', '/tus/', {
    headers: {
      'tus-resumable': '1.0.0',
      'upload-length': String(size),
      'upload-metadata': tusMetadata(fields),
    },
  })
  const location = headers.get('location')
  if (status !== 201 || location === null) {
    throw new Error(`POST /tus/ returned ${status} ${JSON.stringify(body)}`)
  }
  return location
}

/** Reads the offset of an upload with a HEAD request. */
export async function tusOffset(client: HttpClient, path: string, base?: string): Promise<number> {
  const { status, headers } = await client.request('HEAD', path, {
    headers: { 'tus-resumable': '1.0.0' },
    ...(base !== undefined && { base }),
  })
  if (status !== 200) throw new Error(`HEAD ${path} returned ${status}.`)
  return Number(headers.get('upload-offset'))
}

/** The response to a PATCH request. `code` is the error code of a problem. */
export type PatchResponse = { status: number; offset: number | undefined; code: unknown }

/** Sends bytes in one PATCH request. */
export async function patchTus(
  client: HttpClient,
  url: string,
  {
    offset,
    bytes,
    headers = {},
  }: { offset: number; bytes: Uint8Array<ArrayBuffer>; headers?: Record<string, string> },
): Promise<PatchResponse> {
  const response = await fetch(url, {
    ...oneBody,
    method: 'PATCH',
    headers: { ...chunkHeaders(client, offset), ...headers },
    body: bytes,
  })
  const text = await response.text()
  const offsetHeader = response.headers.get('upload-offset')
  return {
    status: response.status,
    offset: offsetHeader === null ? undefined : Number(offsetHeader),
    code: text === '' ? undefined : JSON.parse(text).code,
  }
}

/**
 * Opens a PATCH request whose body the test sends piece by piece.
 *
 * @param length the `Content-Length` of the request, in bytes
 */
export function openPatch(
  client: HttpClient,
  url: string,
  { offset, length }: { offset: number; length: number },
) {
  const sending = request(url, {
    method: 'PATCH',
    headers: { ...chunkHeaders(client, offset), 'content-length': length },
  })
  const status = new Promise<number | undefined>((resolve) => {
    sending.once('response', (response) => {
      response.resume()
      resolve(response.statusCode)
    })
    // A connection that is reset has no response.
    sending.on('error', () => resolve(undefined))
  })
  sending.flushHeaders()
  return {
    send: (bytes: Uint8Array) => new Promise<void>((resolve) => sending.write(bytes, () => resolve())),
    end: (bytes: Uint8Array) => sending.end(bytes),
    /** Closes the connection in the middle of the request. */
    close: () => sending.destroy(),
    /** The status of the response, or undefined if there was no response. */
    status,
  }
}

function chunkHeaders({ cookie }: HttpClient, offset: number): Record<string, string> {
  return {
    'tus-resumable': '1.0.0',
    'upload-offset': String(offset),
    'content-type': 'application/offset+octet-stream',
    ...(cookie !== undefined && { cookie }),
  }
}
