import type { HttpClient, HttpResponse } from './http-client.ts'
import { tusMetadata } from './tus-client.ts'

/** What a test announces of a file. */
export type TestFile = { contentType?: string; preset?: string; metadata?: Record<string, string> }

/** A way to send a file, its size in bytes, and a function that sends the first request. */
export type WayToAnnounce = {
  name: string
  size: number
  send: (client: HttpClient, file: TestFile) => Promise<HttpResponse>
}

const smallBytes = 7
const largeBytes = 20 * 1024 ** 2
const filename = 'a.bin'
const png = 'image/png'

function announced(size: number, { contentType = png, ...file }: TestFile) {
  return { filename, contentType, size, ...file }
}

/** Fields of a request whose fields are all text: the metadata as JSON. */
function textFields({ preset, metadata }: TestFile): Record<string, string> {
  return {
    ...(preset !== undefined && { preset }),
    ...(metadata !== undefined && { metadata: JSON.stringify(metadata) }),
  }
}

/** Every way to send a file, with what a client can announce in it. */
export const waysToAnnounce: WayToAnnounce[] = [
  {
    name: 'an announced form',
    size: smallBytes,
    send: (client, file) => client.post('/uploads', announced(smallBytes, file)),
  },
  {
    name: 'an announced PUT',
    size: smallBytes,
    send: (client, file) => client.post('/uploads', { ...announced(smallBytes, file), transport: 'put' }),
  },
  {
    name: 'an announced multipart upload',
    size: largeBytes,
    send: (client, file) => client.post('/uploads', announced(largeBytes, file)),
  },
  {
    name: 'an import',
    size: smallBytes,
    send: (client, file) =>
      client.post('/uploads', { ...announced(smallBytes, file), sourceUrl: 'https://files.example/a.png' }),
  },
  {
    name: 'a direct upload of a raw body',
    size: smallBytes,
    send: (client, { contentType = png, ...file }) =>
      client.request('POST', `/upload?${new URLSearchParams({ filename, ...textFields(file) })}`, {
        body: 'x'.repeat(smallBytes),
        headers: { 'content-type': contentType },
      }),
  },
  {
    name: 'a direct upload of a form',
    size: smallBytes,
    send: (client, { contentType = png, ...file }) => {
      const fields = Object.entries(textFields(file)).map(
        ([name, value]) => `--b\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
      )
      const part = `--b\r\ncontent-disposition: form-data; name="file"; filename="${filename}"\r\ncontent-type: ${contentType}\r\n\r\n`
      return client.request('POST', '/upload', {
        body: `${fields.join('')}${part}${'x'.repeat(smallBytes)}\r\n--b--\r\n`,
        headers: { 'content-type': 'multipart/form-data; boundary=b' },
      })
    },
  },
  {
    name: 'a tus upload',
    size: largeBytes,
    send: (client, { contentType = png, preset, metadata }) =>
      client.request('POST', '/tus/', {
        headers: {
          'tus-resumable': '1.0.0',
          'upload-length': String(largeBytes),
          'upload-metadata': tusMetadata({
            filename,
            filetype: contentType,
            ...(preset !== undefined && { preset }),
            ...metadata,
          }),
        },
      }),
  },
  {
    name: "Uppy's form",
    size: smallBytes,
    send: (client, { contentType = png, preset, metadata = {} }) => {
      const meta = { size: String(smallBytes), ...(preset !== undefined && { preset }), ...metadata }
      const query = new URLSearchParams({ filename, type: contentType })
      for (const [name, value] of Object.entries(meta)) query.set(`metadata[${name}]`, value)
      return client.get(`/uppy/s3/params?${query}`)
    },
  },
  {
    name: "Uppy's multipart upload",
    size: largeBytes,
    send: (client, { contentType = png, preset, metadata = {} }) =>
      client.post('/uppy/s3/multipart', {
        filename,
        type: contentType,
        metadata: { size: largeBytes, ...(preset !== undefined && { preset }), ...metadata },
      }),
  },
]
