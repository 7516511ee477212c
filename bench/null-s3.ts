// An S3 endpoint for writing only: discards the bytes and stores the sizes, so that no disk limits the benchmark.
import { createServer, type IncomingMessage } from 'node:http'

const etag = '"d41d8cd98f00b204e9800998ecf8427e"'
const sizes = new Map<string, number>()
const uploadSizes = new Map<string, number>()
let uploadCount = 0

const server = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://null-s3')
  const bytes = await countBytes(request)
  const uploadId = searchParams.get('uploadId')
  if (request.method === 'HEAD') {
    const size = sizes.get(pathname)
    if (size === undefined) response.writeHead(404)
    else response.writeHead(200, { etag, 'content-length': size, 'content-type': 'application/octet-stream' })
    response.end()
  } else if (request.method === 'PUT') {
    if (uploadId) uploadSizes.set(uploadId, (uploadSizes.get(uploadId) ?? 0) + bytes)
    else sizes.set(pathname, bytes)
    response.writeHead(200, { etag }).end()
  } else if (request.method === 'POST' && searchParams.has('uploads')) {
    const id = `upload-${++uploadCount}`
    sendXml(`<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`)
  } else if (request.method === 'POST' && uploadId) {
    sizes.set(pathname, uploadSizes.get(uploadId) ?? 0)
    uploadSizes.delete(uploadId)
    sendXml(`<CompleteMultipartUploadResult><ETag>${etag}</ETag></CompleteMultipartUploadResult>`)
  } else if (request.method === 'GET' && searchParams.has('versioning')) {
    // The API does not start with a bucket without versioning.
    sendXml('<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>')
  } else {
    response.writeHead(204).end()
  }

  function sendXml(xml: string) {
    response.writeHead(200, { 'content-type': 'application/xml' }).end(`<?xml version="1.0"?>${xml}`)
  }
})

function countBytes(request: IncomingMessage): Promise<number> {
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
