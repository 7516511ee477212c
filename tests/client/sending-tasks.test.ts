import { randomBytes } from 'node:crypto'
import {
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  S3Client,
} from '@aws-sdk/client-s3'
import { connectStreamingS3 } from '@millrace/shared/service/connections.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../support/api-instances.ts'
import { type S3Proxy, type SeenRequest, startS3Proxy } from '../support/s3-proxy.ts'
import { suite } from '../support/suite.ts'
import { cookieClient } from './support/cookie-client.ts'

const test = suite('upload tasks')
const MiB = 1024 ** 2
const size = 20 * MiB + 1
const bytes = new Uint8Array(randomBytes(size))
let api: ApiInstances
let s3: S3Proxy

test.before(async () => {
  api = await startApiInstances({
    // What clients send to S3 goes through the proxy.
    async connectS3({ endpoint, ...access }) {
      s3 = await startS3Proxy(endpoint)
      return {
        s3: new S3Client({ endpoint, ...access }),
        streamingS3: connectStreamingS3({ endpoint, ...access }),
        publicS3: new S3Client({ endpoint: s3.endpoint, ...access }),
      }
    },
  })
})
test.after(async () => {
  await s3?.close()
  await api.close()
})

/** A client that records its requests to the API. */
function client() {
  const calls: string[] = []
  const recording = cookieClient(api.url, {
    async change(request, response) {
      calls.push(`${request.method} ${new URL(request.url).pathname.replace(/[0-9a-f-]{36}/, 'ID')}`)
      return response
    },
  })
  return { ...recording, calls }
}

const partOf = ({ path }: SeenRequest) => Number(new URL(path, 'http://s3').searchParams.get('partNumber'))

async function keysOf(id: string): Promise<string[]> {
  const { Contents = [] } = await api.s3.send(new ListObjectsV2Command({ Bucket: api.bucket }))
  return Contents.flatMap(({ Key }) => (Key?.includes(id) && Key.startsWith('originals/') ? [Key] : []))
}

async function readOriginal(id: string): Promise<Buffer> {
  const [Key] = await keysOf(id)
  const { Body } = await api.s3.send(new GetObjectCommand({ Bucket: api.bucket, Key }))
  return Buffer.from((await Body?.transformToByteArray()) ?? [])
}

test('pause stops the requests in flight, and resume sends only what S3 does not have', async () => {
  const sent: number[] = []
  const third = Promise.withResolvers<void>()
  s3.intercept((seen) => {
    if (seen.method !== 'PUT') return 'pass'
    sent.push(partOf(seen))
    if (partOf(seen) !== 3 || sent.filter((part) => part === 3).length > 1) return 'pass'
    third.resolve()
    return new Promise(() => undefined)
  })
  const steps: number[] = []
  const two = Promise.withResolvers<void>()
  const task = client().startUpload(new Blob([bytes]), {
    onProgress(sentBytes) {
      steps.push(sentBytes)
      if (sentBytes === 16 * MiB) two.resolve()
    },
  })
  assert.is(task.state, 'sending')
  await Promise.all([third.promise, two.promise])
  task.pause()
  assert.is(task.state, 'paused')
  assert.equal(sent.toSorted(), [1, 2, 3])
  task.resume()
  assert.is(task.state, 'sending')
  const upload = await task.sent
  assert.equal([task.state, task.id, upload.state], ['sent', upload.id, 'received'])
  assert.equal(sent.toSorted(), [1, 2, 3, 3])
  assert.equal(
    steps,
    [...new Set(steps)].toSorted((a, b) => a - b),
    'progress never decreases',
  )
  assert.is(steps.at(-1), size)
  assert.ok((await readOriginal(upload.id)).equals(bytes))
})

test('abort ends the requests, erases the announced upload and aborts its parts', async () => {
  const held = s3.hold((seen) => seen.method === 'PUT')
  const { api: routes, ...sender } = client()
  const task = sender.startUpload(new Blob([bytes]))
  await held.arrived
  const reason = new Error('wrong file')
  const aborted = task.abort(reason)
  assert.is(task.state, 'aborted')
  assert.is(await task.sent.catch((error: unknown) => error), reason)
  await aborted
  const { id = '' } = task
  const found = await routes.GET('/uploads/{id}', { params: { path: { id } } })
  assert.is(found.response.status, 404)
  const { Uploads = [] } = await api.s3.send(new ListMultipartUploadsCommand({ Bucket: api.bucket }))
  assert.equal(
    Uploads.filter(({ Key }) => Key?.endsWith(id)),
    [],
  )
})

test.run()
