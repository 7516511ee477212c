import { createHash } from 'node:crypto'
import { request } from 'node:http'
import type { HttpClient } from './http-client.ts'

/** `Upload-Metadata` of these. */
export function tusMetadata(fields: Record<string, string>): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name} ${Buffer.from(value).toString('base64')}`)
    .join(',')
}

/** `Upload-Checksum` of these bytes. */
export function tusChecksum(bytes: Uint8Array, algorithm = 'sha1'): string {
  return `${algorithm} ${createHash(algorithm).update(bytes).digest('base64')}`
}

/** Announces a file by tus. @returns its path */
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
  if (status !== 201 || location === null) throw new Error(`Not created: ${status} ${JSON.stringify(body)}`)
  return location
}

/** Where the upload is to go on, as HEAD says. */
export async function tusOffset(client: HttpClient, path: string, base?: string): Promise<number> {
  const { status, headers } = await client.request('HEAD', path, {
    headers: { 'tus-resumable': '1.0.0' },
    ...(base !== undefined && { base }),
  })
  if (status !== 200) throw new Error(`HEAD was answered with ${status}.`)
  return Number(headers.get('upload-offset'))
}

/** What a PATCH was answered with. */
export type Patched = { status: number; offset: number | undefined; code: unknown }

/** Sends bytes by tus. */
export async function patchTus(
  client: HttpClient,
  url: string,
  {
    offset,
    bytes,
    headers = {},
  }: { offset: number; bytes: Uint8Array<ArrayBuffer>; headers?: Record<string, string> },
): Promise<Patched> {
  const response = await fetch(url, {
    method: 'PATCH',
    headers: { ...chunkHeaders(client, offset), ...headers },
    body: bytes,
  })
  const text = await response.text()
  const told = response.headers.get('upload-offset')
  return {
    status: response.status,
    offset: told === null ? undefined : Number(told),
    code: text === '' ? undefined : JSON.parse(text).code,
  }
}

/** Begins to send bytes and does not come to an end by itself. */
export function openPatch(
  client: HttpClient,
  url: string,
  { offset, length }: { offset: number; length: number },
) {
  const sending = request(url, {
    method: 'PATCH',
    headers: { ...chunkHeaders(client, offset), 'content-length': length },
  })
  const answered = new Promise<number | undefined>((resolve) => {
    sending.once('response', (response) => {
      response.resume()
      resolve(response.statusCode)
    })
    // A connection that is reset has no answer.
    sending.on('error', () => resolve(undefined))
  })
  sending.flushHeaders()
  return {
    send: (bytes: Uint8Array) => new Promise<void>((resolve) => sending.write(bytes, () => resolve())),
    end: (bytes: Uint8Array) => sending.end(bytes),
    leave: () => sending.destroy(),
    /** The status, or undefined where there was none. */
    answered,
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
