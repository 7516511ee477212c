import { randomBytes } from 'node:crypto'
import { GetObjectCommand, ListObjectsV2Command } from '@aws-sdk/client-s3'
import { UploadView } from '@millrace/api/upload-view.ts'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../support/api-instances.ts'
import { createHttpClient, type HttpClient } from '../support/http-client.ts'
import { suite } from '../support/suite.ts'

const test = suite('upload through the API')
const MiB = 1024 ** 2
const maxUploadBytes = 20 * MiB

let api: ApiInstances
let client: HttpClient

test.before(async () => {
  api = await startApiInstances({ environment: { MAX_UPLOAD_BYTES: String(maxUploadBytes) } })
})
test.before.each(async () => {
  client = createHttpClient(api.url)
  await client.get('/session')
})
test.after(() => api.close())

const fetched = (path: string, init: RequestInit) =>
  fetch(new URL(path, api.url), {
    method: 'POST',
    ...init,
    headers: { cookie: client.cookie ?? '', ...init.headers },
  })

async function uploaded(response: Response): Promise<UploadView> {
  if (response.status !== 201) throw new Error(`${response.status} ${await response.text()}`)
  return Compile(UploadView).Parse(await response.json())
}

async function stored({ id }: { id: string }) {
  const { Contents = [] } = await api.s3.send(
    new ListObjectsV2Command({ Bucket: api.bucket, Prefix: 'originals/' }),
  )
  const object = Contents.find(({ Key }) => Key?.endsWith(`/${id}`))
  return api.s3.send(new GetObjectCommand({ Bucket: api.bucket, Key: object?.Key }))
}

async function bytesOf(upload: UploadView) {
  const { Body } = await stored(upload)
  return Buffer.from((await Body?.transformToByteArray()) ?? [])
}

test('takes a raw body with its length', async () => {
  const bytes = randomBytes(300_000)
  const response = await fetched('/upload?filename=caf%C3%A9.png', {
    headers: { 'content-type': 'image/png' },
    body: bytes,
  })
  const upload = await uploaded(response)
  assert.is(response.headers.get('location'), `/uploads/${upload.id}`)
  assert.is(upload.state, 'received')
  assert.is(upload.size, bytes.length)
  assert.is(upload.filename, 'café.png')
  assert.is(upload.contentType, 'image/png')
  assert.ok(bytes.equals(await bytesOf(upload)))
})

test.run()
