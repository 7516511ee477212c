import type { HttpClient, HttpResponse } from './http-client.ts'
import { tusMetadata } from './tus-client.ts'

const MiB = 1024 ** 2
const announced = { filename: 'a.bin', contentType: 'image/png' }

/**
 * Every way to send a file: its name, and a function that sends the first request. Ways that can use parts have a file
 * that is large enough for parts.
 */
export const waysToSend: [name: string, send: (client: HttpClient) => Promise<HttpResponse>][] = [
  ['an announced form', (client) => client.post('/uploads', { ...announced, size: 7 })],
  ['an announced multipart upload', (client) => client.post('/uploads', { ...announced, size: 20 * MiB })],
  ['an import', (client) => client.post('/uploads', { sourceUrl: 'https://files.example/a.png', size: 7 })],
  [
    'a direct upload',
    (client) =>
      client.request('POST', '/upload?filename=a.txt', {
        body: 'the file',
        headers: { 'content-type': 'text/plain' },
      }),
  ],
  [
    'a tus upload',
    (client) =>
      client.request('POST', '/tus/', {
        headers: {
          'tus-resumable': '1.0.0',
          'upload-length': String(20 * MiB),
          'upload-metadata': tusMetadata({ filename: 'a.bin' }),
        },
      }),
  ],
  [
    "Uppy's form",
    (client) =>
      client.get(`/uppy/s3/params?filename=a.bin&type=image/png&${encodeURIComponent('metadata[size]')}=7`),
  ],
  [
    "Uppy's multipart upload",
    (client) =>
      client.post('/uppy/s3/multipart', {
        filename: 'a.bin',
        type: 'image/png',
        metadata: { size: 20 * MiB },
      }),
  ],
]
