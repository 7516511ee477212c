import { setTimeout as delay } from 'node:timers/promises'
import { tusMetadata } from '../support/tus-client.ts'
import { type ClientResponse, type DecentClient, isObject } from './decent-client.ts'
import type { SentUpload, Way } from './sent-upload.ts'

/** Size of a tus chunk in bytes: small files then take several requests. */
const tusChunkBytes = 600
/** How often a client starts a tus upload again, because its record was lost. */
const maxTusStarts = 8

/** A step of a client that got another response than it needs. */
class Refused extends Error {
  constructor(step: string, response: ClientResponse | undefined) {
    const code = typeof response?.body['code'] === 'string' ? ` ${response.body['code']}` : ''
    super(`${step}: ${response ? `${response.status}${code}` : 'no response'}`)
  }
}

/**
 * Creates the function that sends a file the way its upload says, as a decent client: with retries, and again from the
 * start where the protocol asks for it.
 *
 * @param deps.sourceUrl returns the URL from which the upload's file can be imported
 * @param deps.onId called when a response named an upload
 */
export function createSendFile(deps: {
  client: DecentClient
  sourceUrl: (upload: SentUpload) => string
  onId: (upload: SentUpload, id: string) => void
}) {
  const { client, sourceUrl, onId } = deps
  const byWay: Record<Way, (upload: SentUpload) => Promise<void>> = {
    form: sendForm,
    multipart: sendParts,
    'direct-raw': sendRaw,
    'direct-form': sendDirectForm,
    tus: sendTus,
    import: startImport,
    'uppy-form': sendUppyForm,
    'uppy-multipart': sendUppyParts,
  }

  /** Sends the file, and records in the upload what the client learned. */
  return async function sendFile(upload: SentUpload): Promise<void> {
    try {
      await byWay[upload.way](upload)
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      upload.refusal = error.message
    }
  }

  async function sendForm(upload: SentUpload): Promise<void> {
    const { id, transport } = await announce(upload)
    await postForm(upload, transport)
    accept(upload, id)
  }

  async function sendParts(upload: SentUpload): Promise<void> {
    const { id, transport } = await announce(upload)
    const partSize = Number(transport['partSize'])
    const parts: { partNumber: number; etag: string }[] = []
    for (const part of arrayOf(transport['parts'])) {
      const partNumber = Number(part['partNumber'])
      const start = (partNumber - 1) * partSize
      parts.push({ partNumber, etag: await putPart(upload, part['url'], start, start + partSize) })
    }
    await need('complete', 202, {
      method: 'POST',
      url: `/uploads/${id}/complete`,
      headers: authorization(upload),
      json: { parts },
    })
    accept(upload, id)
  }

  async function sendRaw(upload: SentUpload): Promise<void> {
    const { filename, preset, declaredSha256, contentType, bytes } = upload.file
    const query = new URLSearchParams({ filename, preset, ...(declaredSha256 && { sha256: declaredSha256 }) })
    const { body } = await need('POST /upload', 201, {
      method: 'POST',
      url: `/upload?${query}`,
      headers: { ...authorization(upload), ...idempotency(upload), 'content-type': contentType },
      body: () => bytes,
    })
    accept(upload, idOf(upload, body['id']))
  }

  async function sendDirectForm(upload: SentUpload): Promise<void> {
    const { filename, preset, declaredSha256, contentType, bytes } = upload.file
    const { body } = await need('POST /upload', 201, {
      method: 'POST',
      url: '/upload',
      headers: { ...authorization(upload), ...idempotency(upload) },
      body() {
        const form = new FormData()
        form.append('preset', preset)
        if (declaredSha256) form.append('sha256', declaredSha256)
        form.append('file', new Blob([bytes], { type: contentType }), filename)
        return form
      },
    })
    accept(upload, idOf(upload, body['id']))
  }

  async function startImport(upload: SentUpload): Promise<void> {
    const { filename, preset, declaredSha256, contentType, bytes } = upload.file
    const { body } = await need('POST /uploads', 201, {
      method: 'POST',
      url: '/uploads',
      headers: { ...authorization(upload), ...idempotency(upload) },
      json: {
        sourceUrl: sourceUrl(upload),
        ...{ filename, preset, contentType, size: bytes.length },
        ...(declaredSha256 && { sha256: declaredSha256 }),
      },
    })
    idOf(upload, body['id'])
  }

  async function sendTus(upload: SentUpload): Promise<void> {
    for (let starts = 0; starts < maxTusStarts; starts++) {
      const { filename, preset, declaredSha256, contentType, bytes } = upload.file
      const { headers } = await need('POST /tus/', 201, {
        method: 'POST',
        url: '/tus/',
        headers: {
          ...tusHeaders(upload),
          'upload-length': String(bytes.length),
          'upload-metadata': tusMetadata({
            ...{ filename, preset, filetype: contentType },
            ...(declaredSha256 && { sha256: declaredSha256 }),
          }),
        },
      })
      const path = new URL(headers.get('location') ?? '', 'http://api').pathname
      const id = idOf(upload, path.slice(path.lastIndexOf('/') + 1))
      if (await sendChunks(upload, path)) return accept(upload, id)
      // A start that fails at once would otherwise be repeated as fast as the API responds.
      await delay(200)
    }
    throw new Refused('tus', undefined)
  }

  /** @returns false if the upload is gone and must be started again */
  async function sendChunks(upload: SentUpload, path: string): Promise<boolean> {
    const { bytes } = upload.file
    const chunkBytes = Math.max(tusChunkBytes, Math.ceil(bytes.length / 4))
    let offset = 0
    while (offset < bytes.length) {
      const patched = await client.send(
        {
          method: 'PATCH',
          url: path,
          headers: {
            ...tusHeaders(upload),
            'upload-offset': String(offset),
            'content-type': 'application/offset+octet-stream',
          },
          body: () => bytes.subarray(offset, offset + chunkBytes),
        },
        { retries: false },
      )
      if (patched?.status === 204) {
        offset = Number(patched.headers.get('upload-offset'))
        continue
      }
      const head = await client.send({ method: 'HEAD', url: path, headers: tusHeaders(upload) })
      if (head?.status === 404 || head?.status === 410) return false
      if (head?.status !== 200) throw new Refused('HEAD /tus/{id}', head)
      offset = Number(head.headers.get('upload-offset'))
    }
    return true
  }

  async function sendUppyForm(upload: SentUpload): Promise<void> {
    const { filename, contentType } = upload.file
    const query = new URLSearchParams({ filename, type: contentType })
    for (const [name, value] of Object.entries(uppyMeta(upload))) query.set(`metadata[${name}]`, value)
    const { body } = await need('GET /uppy/s3/params', 200, {
      method: 'GET',
      url: `/uppy/s3/params?${query}`,
      headers: authorization(upload),
    })
    const fields = isObject(body['fields']) ? body['fields'] : {}
    const id = idOf(upload, String(fields['key']).split('/').at(-1))
    await postForm(upload, body)
    accept(upload, id)
  }

  async function sendUppyParts(upload: SentUpload): Promise<void> {
    const { filename, contentType, bytes } = upload.file
    const { body } = await need('POST /uppy/s3/multipart', 200, {
      method: 'POST',
      url: '/uppy/s3/multipart',
      headers: authorization(upload),
      json: { filename, type: contentType, metadata: uppyMeta(upload) },
    })
    const id = idOf(upload, body['uploadId'])
    const signed = await need('sign a part', 200, {
      method: 'GET',
      url: `/uppy/s3/multipart/${id}/1`,
      headers: authorization(upload),
    })
    const etag = await putPart(upload, signed.body['url'], 0, bytes.length)
    await need('complete', 200, {
      method: 'POST',
      url: `/uppy/s3/multipart/${id}/complete`,
      headers: authorization(upload),
      json: { parts: [{ PartNumber: 1, ETag: etag }] },
    })
    accept(upload, id)
  }

  async function announce(upload: SentUpload): Promise<{ id: string; transport: Record<string, unknown> }> {
    const { filename, preset, declaredSha256, contentType, bytes } = upload.file
    const { body } = await need('POST /uploads', 201, {
      method: 'POST',
      url: '/uploads',
      headers: { ...authorization(upload), ...idempotency(upload) },
      json: {
        ...{ filename, preset, contentType, size: bytes.length },
        ...(declaredSha256 && { sha256: declaredSha256 }),
      },
    })
    return { id: idOf(upload, body['id']), transport: isObject(body['transport']) ? body['transport'] : {} }
  }

  async function postForm(upload: SentUpload, form: Record<string, unknown>): Promise<void> {
    const fields = isObject(form['fields']) ? form['fields'] : {}
    const response = await client.send({
      method: 'POST',
      url: String(form['url']),
      body() {
        const data = new FormData()
        for (const [name, value] of Object.entries(fields)) data.append(name, String(value))
        data.append('file', new Blob([upload.file.bytes]), 'file')
        return data
      },
    })
    if (!response || response.status >= 300) throw new Refused('form to S3', response)
  }

  /** Sends a part, from `start` to `end` in bytes. @returns its etag */
  async function putPart(upload: SentUpload, url: unknown, start: number, end: number): Promise<string> {
    const { headers } = await need('part to S3', 200, {
      method: 'PUT',
      url: String(url),
      body: () => upload.file.bytes.subarray(start, end),
    })
    return headers.get('etag') ?? ''
  }

  async function need(
    step: string,
    status: number,
    request: Parameters<typeof client.send>[0],
  ): Promise<ClientResponse> {
    const response = await client.send(request)
    if (response?.status !== status) throw new Refused(step, response)
    return response
  }

  function idOf(upload: SentUpload, id: unknown): string {
    if (typeof id !== 'string' || id === '') throw new Error(`A response named no upload (${upload.way}).`)
    if (!upload.ids.has(id)) {
      upload.ids.add(id)
      onId(upload, id)
    }
    return id
  }
}

export type SendFile = ReturnType<typeof createSendFile>

/** The header of an owner's API key. */
export function authorization({ owner }: Pick<SentUpload, 'owner'>): Record<string, string> {
  return { authorization: `Bearer ${owner.key}` }
}

function idempotency({ idempotencyKey }: SentUpload): Record<string, string> {
  return idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }
}

function tusHeaders(upload: SentUpload): Record<string, string> {
  return { ...authorization(upload), 'tus-resumable': '1.0.0' }
}

function uppyMeta({ file }: SentUpload): Record<string, string> {
  const { bytes, preset, declaredSha256 } = file
  return { size: String(bytes.length), preset, ...(declaredSha256 && { sha256: declaredSha256 }) }
}

function accept(upload: SentUpload, id: string): void {
  upload.accepted = { id, atMs: Date.now() }
}

function arrayOf(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(isObject) : []
}
