// S3 as far as writing goes, without a disk: takes what it is sent, forgets the bytes, remembers the size.
import { createServer, type IncomingMessage } from 'node:http'

const etag = '"d41d8cd98f00b204e9800998ecf8427e"'
const sizes = new Map<string, number>()
const openSizes = new Map<string, number>()
let opened = 0

const server = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://sink')
  const bytes = await drain(request)
  const uploadId = searchParams.get('uploadId')
  if (request.method === 'HEAD') {
    const size = sizes.get(pathname)
    if (size === undefined) response.writeHead(404)
    else response.writeHead(200, { etag, 'content-length': size, 'content-type': 'application/octet-stream' })
    response.end()
  } else if (request.method === 'PUT') {
    if (uploadId) openSizes.set(uploadId, (openSizes.get(uploadId) ?? 0) + bytes)
    else sizes.set(pathname, bytes)
    response.writeHead(200, { etag }).end()
  } else if (request.method === 'POST' && searchParams.has('uploads')) {
    const id = `upload-${++opened}`
    answer(`<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`)
  } else if (request.method === 'POST' && uploadId) {
    sizes.set(pathname, openSizes.get(uploadId) ?? 0)
    openSizes.delete(uploadId)
    answer(`<CompleteMultipartUploadResult><ETag>${etag}</ETag></CompleteMultipartUploadResult>`)
  } else {
    response.writeHead(204).end()
  }

  function answer(xml: string) {
    response.writeHead(200, { 'content-type': 'application/xml' }).end(`<?xml version="1.0"?>${xml}`)
  }
})

function drain(request: IncomingMessage): Promise<number> {
  return new Promise((resolve, reject) => {
    let bytes = 0
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length
    })
    request.on('end', () => resolve(bytes))
    request.on('error', reject)
  })
}

server.listen(Number(process.env['PORT']), '127.0.0.1')
