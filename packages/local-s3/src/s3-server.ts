import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createListMultipartUploads } from './listings/list-multipart-uploads.ts'
import { createListObjectVersions } from './listings/list-object-versions.ts'
import { createListObjects } from './listings/list-objects.ts'
import { createBucketCors } from './operations/bucket-cors.ts'
import { createBucketDefaults } from './operations/bucket-defaults.ts'
import { createBucketNotifications } from './operations/bucket-notifications.ts'
import { createBuckets } from './operations/buckets.ts'
import { createDeleteObjects } from './operations/delete-objects.ts'
import { createGetObject } from './operations/get-object.ts'
import { createMultipartUploads } from './operations/multipart-uploads.ts'
import { createObjectTags } from './operations/object-tags.ts'
import { createPostObject } from './operations/post-object.ts'
import { createPutObject } from './operations/put-object.ts'
import { createHttpServer } from './protocol/http-server.ts'
import { checkRequestHeaders } from './protocol/request-headers.ts'
import type { S3Exchange } from './protocol/s3-exchange.ts'
import { findOperation, isFormPost, type S3Operation } from './protocol/s3-operations.ts'
import {
  createSignatureV4,
  type FindTemporaryCredentials,
  type KeyPair,
  type VerifiedRequest,
} from './signing/signature-v4.ts'
import { createBucketTable } from './storage/bucket-table.ts'
import { createContentFiles } from './storage/content-files.ts'
import { createDiskSpace } from './storage/disk-space.ts'
import { createEventOutbox } from './storage/event-outbox.ts'
import { createMultipartUploadTable } from './storage/multipart-upload-table.ts'
import { createObjectTable } from './storage/object-table.ts'
import { openS3Database } from './storage/s3-database.ts'

/*
 * The local S3: a server with a part of the S3 API, for `npm start` and for the tests. It is a development server,
 * never a product: one process, one permanent key pair, one region; a power cut may lose the last moments. What AWS rejects is
 * rejected here, with S3's error codes.
 *
 * It implements the operations that Millrace, tus and Uppy use. All others return NotImplemented.
 *   service             ListBuckets
 *   bucket              CreateBucket, HeadBucket, DeleteBucket, Get/PutBucketVersioning, GetBucketLocation,
 *                       Get/Put/DeleteBucketCors with preflight requests, Get/PutBucketNotificationConfiguration
 *                       (queues only), ListObjects, ListObjectsV2, ListObjectVersions, ListMultipartUploads,
 *                       DeleteObjects
 *   object              PutObject, POST Object (forms), CopyObject, GetObject, HeadObject, DeleteObject,
 *                       GetObjectTagging
 *   multipart upload    CreateMultipartUpload, UploadPart, UploadPartCopy, ListParts, CompleteMultipartUpload,
 *                       AbortMultipartUpload
 * While its disk is full, it refuses files with 507 StorageFull, and HeadBucket as well, so that a readiness check finds it
 * without writing anything (storage/disk-space.ts).
 * The ordinary S3 tools (AWS CLI, rclone and s3cmd were tried) can look inside: configurations that a bucket here cannot
 * have are read as those of a new bucket on AWS (bucket-defaults.ts).
 *
 * It writes two kinds of files under its directory:
 *   s3.sqlite (and s3.sqlite-wal)
 *                       which buckets, objects, open multipart uploads and undelivered events exist. One SQLite
 *                       file, so that each change is one transaction and a killed process leaves no half change.
 *   content/<2 hex digits>/<uuid>
 *                       the bytes of one object or of one part. Files, so that bodies of any size stream without
 *                       being held in memory. A file is written first and referenced by a transaction afterwards.
 *
 * Its rooms, in the order in which a request passes them:
 *   protocol/           HTTP, S3's errors and XML; finds the operation of a request
 *   signing/            verifies Signature V4 in headers, URLs and form policies
 *   bodies/             decodes request bodies and verifies their lengths and checksums
 *   listings/           the operations that list objects, versions, uploads and parts
 *   operations/         one file per other operation or group of operations: checks the request, sends the response
 *   storage/            the tables in SQLite, the content files, and the outbox of event notifications
 */

/** S3 closes a connection if no byte of an expected body arrives for this long (ms). */
const defaultBodyTimeoutMs = 20_000

export type S3Server = Awaited<ReturnType<typeof createS3Server>>

/**
 * Starts the local S3.
 *
 * @param options.directory where the server stores its files; created if missing, locked while the server runs
 * @param options.host the address to listen on; loopback unless given
 * @param options.port 0 for any free port
 * @param options.deliver sends an event notification (an S3 event message as JSON) to a queue, after its object is
 * durable. If it rejects, the server retries. Without it no notification can be configured.
 * @param options.temporaryCredentials lets a test use credentials that end, as those of a role do
 * @param options.acceptsReplicas lets a test write objects as S3's replication does (`storage/replica.ts`)
 * @param options.bodyTimeoutMs longest time without bytes of an expected body, in ms
 * @throws Error when the port is in use or another server has locked the directory
 */
export async function createS3Server(options: {
  directory: string
  host?: string
  port?: number
  region: string
  credentials: KeyPair
  temporaryCredentials?: FindTemporaryCredentials | undefined
  deliver?: (queueArn: string, body: string) => Promise<void>
  bodyTimeoutMs?: number
  acceptsReplicas?: boolean
}) {
  const { directory, host = '127.0.0.1', port = 0, region, credentials, temporaryCredentials } = options
  const { deliver, acceptsReplicas = false, bodyTimeoutMs = defaultBodyTimeoutMs } = options
  await mkdir(directory, { recursive: true })
  const diskSpace = createDiskSpace(directory, (sentence) => console.error(`local S3: ${sentence}`))
  const files = await createContentFiles(directory, diskSpace)
  const database = openS3Database(join(directory, 's3.sqlite'))
  const buckets = createBucketTable(database)
  const outbox = createEventOutbox({ database, region, deliver })
  const objects = createObjectTable({ database, files, buckets, outbox })
  const uploads = createMultipartUploadTable({ database, buckets })

  const signatureV4 = createSignatureV4({ region, credentials, temporaryCredentials })
  const cors = createBucketCors({ buckets, bodyTimeoutMs })
  const form = createPostObject({ buckets, objects, files, signatureV4, bodyTimeoutMs })
  const operations: Record<S3Operation, (request: VerifiedRequest) => Promise<void>> = {
    ...createBuckets({ buckets, diskSpace, region, bodyTimeoutMs }),
    ...cors,
    ...createBucketNotifications({ buckets, deliver, bodyTimeoutMs }),
    ...createBucketDefaults({ buckets, objects }),
    ...createListObjects({ buckets, objects }),
    ...createListObjectVersions({ buckets, objects }),
    ...createListMultipartUploads({ buckets, uploads }),
    ...createPutObject({ buckets, objects, files, bodyTimeoutMs, acceptsReplicas }),
    ...createGetObject({ buckets, objects, files }),
    ...createObjectTags({ buckets, objects }),
    ...createDeleteObjects({ buckets, objects, bodyTimeoutMs }),
    ...createMultipartUploads({ buckets, objects, uploads, files, bodyTimeoutMs }),
  }

  const server = createHttpServer(async (exchange: S3Exchange) => {
    exchange.parse()
    if (exchange.method === 'OPTIONS') return cors.preflight(exchange)
    cors.setResponseHeaders(exchange)
    // A form's signature is one of its fields.
    if (isFormPost(exchange)) return form.postObject(exchange)
    const signature = signatureV4.verify(exchange, Date.now())
    const operation = findOperation(exchange)
    checkRequestHeaders(exchange.headers, operation)
    return operations[operation]({ exchange, signature })
  }, diskSpace.toS3Error)

  let endpoint: string
  try {
    await files.deleteUnused(objects.contentInUse())
    endpoint = await server.listen(port, host)
  } catch (error) {
    database.close()
    throw error
  }
  outbox.deliverRecorded()

  return {
    /** For example `http://127.0.0.1:40123`. */
    endpoint,

    /** Stops listening, waits a moment for active requests, then closes. Undelivered events stay stored. */
    async close() {
      await server.close()
      await outbox.close()
      database.close()
    },
  }
}
