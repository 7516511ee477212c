import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { createBucketCors } from './operations/bucket-cors.ts'
import { createBucketNotifications } from './operations/bucket-notifications.ts'
import { createBuckets } from './operations/buckets.ts'
import { createDeleteObjects } from './operations/delete-objects.ts'
import type { VerifiedRequest } from './operations/event-origin.ts'
import { createGetObject } from './operations/get-object.ts'
import { createListMultipartUploads } from './operations/list-multipart-uploads.ts'
import { createListObjects } from './operations/list-objects.ts'
import { createMultipartUploads } from './operations/multipart-uploads.ts'
import { createPostObject } from './operations/post-object.ts'
import { createPutObject } from './operations/put-object.ts'
import { S3Error } from './protocol/s3-error.ts'
import { createS3Exchange, type S3Exchange } from './protocol/s3-exchange.ts'
import { findOperation, type S3Operation } from './protocol/s3-operations.ts'
import { xmlDocument } from './protocol/xml.ts'
import { createSignatureV4 } from './signing/signature-v4.ts'
import { createBucketTable } from './storage/bucket-table.ts'
import { createContentFiles } from './storage/content-files.ts'
import { createEventOutbox } from './storage/event-outbox.ts'
import { createMultipartUploadTable } from './storage/multipart-upload-table.ts'
import { createObjectTable } from './storage/object-table.ts'
import { openS3Database } from './storage/s3-database.ts'

/** S3 closes a connection on which an awaited body stays silent this long (ms). */
const defaultBodyTimeoutMs = 20_000
const headersTimeoutMs = 30_000
/** Longer than clients keep idle connections, so that none is closed just as a client takes it up again. */
const keepAliveTimeoutMs = 65_000
/** How long `close` waits for requests under way before it cuts them off (ms). */
const closeGraceMs = 2_000

export type S3Server = Awaited<ReturnType<typeof createS3Server>>

/**
 * Starts an S3 server for development: the operations that Millrace, tus and Uppy use, as strict as Amazon's.
 *
 * @param options.directory where buckets and objects are kept; made when missing, locked while the server runs
 * @param options.host what to listen on; nothing beyond loopback unless asked
 * @param options.port 0 for any free one
 * @param options.deliver takes event notifications (an S3 event message as JSON) once their object is durable;
 * rejecting means "try again". Without it no notification can be configured.
 * @param options.takesCopies lets a test do what S3's replication does (`replica.ts`)
 * @param options.bodyTimeoutMs longest silence of a client in the middle of its body
 * @throws Error when the port is taken or another server runs on the directory
 */
export async function createS3Server(options: {
  directory: string
  host?: string
  port?: number
  region: string
  credentials: { accessKeyId: string; secretAccessKey: string }
  deliver?: (queueArn: string, body: string) => Promise<void>
  bodyTimeoutMs?: number
  acceptsReplicas?: boolean
}) {
  const { directory, host = '127.0.0.1', port = 0, region, credentials, deliver } = options
  const { acceptsReplicas = false } = options
  const bodyTimeoutMs = options.bodyTimeoutMs ?? defaultBodyTimeoutMs
  await mkdir(directory, { recursive: true })
  const files = await createContentFiles(directory)
  const database = openS3Database(join(directory, 's3.sqlite'))
  const buckets = createBucketTable(database)
  const outbox = createEventOutbox({ database, region, deliver })
  const objects = createObjectTable({ database, files, buckets, outbox })
  const uploads = createMultipartUploadTable({ database, buckets })

  const signatureV4 = createSignatureV4({ region, credentials })
  const cors = createBucketCors({ buckets, bodyTimeoutMs })
  const form = createPostObject({ buckets, objects, files, signatureV4, bodyTimeoutMs })
  const operations: Record<S3Operation, (call: VerifiedRequest) => Promise<void>> = {
    ...createBuckets({ buckets, region, bodyTimeoutMs }),
    ...cors,
    ...createBucketNotifications({ buckets, deliver, bodyTimeoutMs }),
    ...createListObjects({ buckets, objects }),
    ...createListMultipartUploads({ buckets, uploads }),
    ...createPutObject({ buckets, objects, files, bodyTimeoutMs, acceptsReplicas }),
    ...createGetObject({ buckets, objects, files }),
    ...createDeleteObjects({ buckets, objects, bodyTimeoutMs }),
    ...createMultipartUploads({ buckets, objects, uploads, files, bodyTimeoutMs }),
  }

  async function route(exchange: S3Exchange) {
    exchange.parse()
    if (exchange.method === 'OPTIONS') return cors.preflight(exchange)
    cors.decorate(exchange)
    const isForm = exchange.method === 'POST' && exchange.key === '' && exchange.query('delete') === undefined
    if (isForm && exchange.bucket !== '') return form.postObject(exchange)
    const signature = signatureV4.verify(exchange, Date.now())
    return operations[findOperation(exchange)]({ exchange, signature })
  }

  async function handle(req: IncomingMessage, res: ServerResponse, expectsContinue: boolean) {
    const exchange = createS3Exchange(req, res, expectsContinue)
    try {
      await route(exchange)
    } catch (error) {
      // Nobody is left to answer; what the request had written is gone already.
      if (exchange.socket.destroyed) return
      if (!(error instanceof S3Error))
        console.error(`local S3: ${req.method} ${exchange.rawPath} failed:`, error)
      exchange.sendError(error instanceof S3Error ? error : new S3Error('InternalError'))
    }
  }

  const underWay = new Set<Promise<void>>()
  function track(req: IncomingMessage, res: ServerResponse, expectsContinue: boolean) {
    const handling = handle(req, res, expectsContinue).finally(() => underWay.delete(handling))
    underWay.add(handling)
  }

  // A body may take as long as it needs; readRawBody ends the ones that fall silent.
  const server = createServer({
    requestTimeout: 0,
    headersTimeout: headersTimeoutMs,
    keepAliveTimeout: keepAliveTimeoutMs,
  })
  server.on('request', (req, res) => track(req, res, false))
  server.on('checkContinue', (req, res) => track(req, res, true))
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy()
      return
    }
    const tooLarge = error.code === 'HPE_HEADER_OVERFLOW'
    const refusal = new S3Error(tooLarge ? 'RequestHeaderSectionTooLarge' : 'BadRequest')
    const body = xmlDocument('Error', { Code: refusal.code, Message: refusal.message })
    socket.end(
      `HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: application/xml\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    )
  })

  try {
    await files.sweep(objects.contentInUse())
    server.listen(port, host)
    await once(server, 'listening')
  } catch (error) {
    database.close()
    throw error
  }
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server has no port')
  outbox.wake()

  return {
    /** For example `http://127.0.0.1:40123`. */
    endpoint: `http://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`,

    /** Stops listening, lets requests under way finish for a moment, then ends. Undelivered events stay. */
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeIdleConnections()
      const cut = setTimeout(() => server.closeAllConnections(), closeGraceMs)
      await closed
      clearTimeout(cut)
      await Promise.all(underWay)
      await outbox.close()
      database.close()
    },
  }
}
