import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { sampleId, sentParts } from '@millrace/api/operations/sample-upload.ts'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { createOriginals } from '@millrace/shared/ledger/originals.ts'
import { createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import Type, { type Static, type TSchema } from 'typebox'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { parseDocument, readDocument } from '../../support/documented-responses.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { sendForm, sendPart } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'
import { readShellArguments } from './support/read-shell-arguments.ts'

const test = suite('documented requests')
const scopes = ['uploads:read', 'uploads:write', 'act-as', 'tokens', 'tenant', 'admin'] as const
const { key, entry } = newApiKey('acme', [...scopes])
const authorization = `Bearer ${key}`
/** What the documented requests take from `harbour.jpg`. */
const bytes = new TextEncoder().encode('hello world')

let api: ApiInstances
let reader: ReturnType<typeof readDocument>
/** The arguments of each operation's curl command, by operationId. */
let commands: Map<string, string[]>
let cookie: string | undefined
/** What documented ids stand for in the following requests. */
const known = new Map<string, string>()
const sent = new Set<string>()

test.before(async () => {
  api = await startApiInstances({ environment: { API_KEYS: entry } })
  const { body } = await createHttpClient(api.url).get('/openapi.json')
  reader = readDocument(parseDocument(body))
  commands = readCommands()
})
test.after(() => api.close())

/** Reads the documented commands as a shell does. */
function readCommands(): Map<string, string[]> {
  const { operations } = reader
  const sources = operations.map(({ operation }) => operation['x-codeSamples']?.[0]?.source ?? '')
  const lists = readShellArguments(sources, { MILLRACE_URL: api.url, MILLRACE_KEY: key })
  assert.is(lists.length, operations.length)
  return new Map(operations.map(({ operation }, index) => [operation.operationId, lists[index] ?? []]))
}

/** Sends a documented command and checks that it succeeds as documented. */
async function send(operationId: string) {
  const found = reader.operations.find(({ operation }) => operation.operationId === operationId)
  if (!found) throw new Error(`There is no operation ${operationId}.`)
  const { url, method, headers, body } = readArguments(commands.get(operationId) ?? [])
  const response = await fetch(url, {
    method,
    headers: { ...headers, ...(cookie !== undefined && !headers['Authorization'] && { cookie }) },
    redirect: 'manual',
    ...(body !== undefined && { body }),
  })
  for (const setCookie of response.headers.getSetCookie()) cookie = setCookie.split(';')[0]
  const isStream = response.headers.get('content-type') === 'text/event-stream'
  if (isStream) await response.body?.cancel()
  const text = isStream ? '' : await response.text()
  const isJson = /\bjson\b/.test(response.headers.get('content-type') ?? '')
  const parsed: unknown = isJson && text ? JSON.parse(text) : text
  assert.ok(response.status < 400, `${operationId}: ${response.status} ${text}`)
  const { status } = response
  reader.check({ method, path: new URL(url).pathname }, { status, headers: response.headers, body: parsed })
  sent.add(operationId)
  return {
    headers: response.headers,
    body: <Schema extends TSchema>(schema: Schema): Static<Schema> =>
      bodyOf({ status, headers: response.headers, body: parsed }, schema),
  }
}

/** Reads the options of curl that are used, with real ids for those of the examples. */
function readArguments(parameters: string[]) {
  // Longer ids first: that of an erasure contains that of an upload.
  const ids = [...known].sort(([a], [b]) => b.length - a.length)
  const real = parameters.map((text) =>
    ids.reduce((replaced, [sample, value]) => replaced.replaceAll(sample, value), text),
  )
  const valuesOf = (option: string) => real.filter((_, index) => real[index - 1] === option)
  const [data] = valuesOf('-d')
  return {
    url: real.find((text) => text.startsWith(api.url)) ?? '',
    method: valuesOf('-X')[0] ?? (real.includes('-I') ? 'HEAD' : 'GET'),
    headers: Object.fromEntries(
      valuesOf('-H').map((text) => [text.slice(0, text.indexOf(':')), text.slice(text.indexOf(':') + 2)]),
    ),
    body: valuesOf('--data-binary')[0] === '@harbour.jpg' ? bytes : data,
  }
}

const WithId = Type.Object({ id: Type.String() })

/** Announces a file without the document, and makes its id that of the examples. */
async function announce(size: number, user?: string) {
  const client = createHttpClient(api.url)
  const response = await client.post(
    '/uploads',
    { filename: 'harbour.jpg', contentType: 'image/jpeg', size },
    { headers: { authorization, ...(user !== undefined && { 'millrace-user': encodeURIComponent(user) }) } },
  )
  const announced = bodyOf(response, AnnouncedUpload)
  known.set(sampleId, announced.id)
  return announced
}
const AnnouncedUpload = Type.Object({ id: Type.String(), transport: Type.Any() })

/** Sends a file and writes what a worker would write. */
async function makeReady(): Promise<void> {
  const { id, transport } = await announce(bytes.length)
  await sendForm(transport, bytes)
  const address = { owner: 'acme', id }
  const original = await createOriginals({ s3: api.s3, bucket: api.bucket }).find(address)
  if (!original) throw new Error('S3 has no original.')
  const { arrival } = original
  await createUploadRecords({ redis: api.redis, prefix: api.prefix }).update(address, (upload) => ({
    ...upload,
    state: 'ready',
    arrival,
    variants: [
      {
        name: 'thumbnail',
        key: originalKey(address),
        contentType: 'image/jpeg',
        width: 200,
        height: 200,
        size: 7,
      },
    ],
  }))
}

test('health and sessions', async () => {
  for (const id of [
    'getHealth',
    'getReadiness',
    'getMetrics',
    'getSession',
    'putSession',
    'getSession',
    'endSession',
  ])
    await send(id)
  known.set('mr_3vY0Qn2b8mWcU1kTzJr5xP7sLdFhGaE9oNiRqXyVwKt', key)
  for (const id of ['signInWithKey', 'signOutOfKey']) await send(id)
})

test('announcing, listing and changing uploads', async () => {
  const { id } = (await send('announceUpload')).body(WithId)
  known.set(sampleId, id)
  for (const operation of [
    'listPresets',
    'listUploads',
    'getUpload',
    'getUploadEvidence',
    'editUpload',
    'watchUpload',
    'watchUploads',
  ])
    await send(operation)
  await send('eraseUpload')
  await send('putFile')
  known.set(sampleId, (await send('sendFile')).body(WithId).id)
  await send('revertUpload')
})

test('a file in parts', async () => {
  const sizes = sentParts.map(({ size }) => size)
  await announce(sizes.reduce((sum, size) => sum + size))
  const { parts } = (await send('signParts')).body(
    Type.Object({ parts: Type.Array(Type.Object({ url: Type.String() })) }),
  )
  for (const [index, { url }] of parts.entries()) {
    const etag = await sendPart(url, new Uint8Array(sizes[index] ?? 0))
    known.set(sentParts[index]?.etag ?? '', etag.replaceAll('"', ''))
  }
  await send('listParts')
  await send('completeUpload')
})

test('finished uploads', async () => {
  await makeReady()
  for (const id of ['getOriginal', 'getVariant', 'reprocessUpload', 'reprocessUploads', 'eraseUploads'])
    await send(id)
})

test('tus', async () => {
  for (const id of ['getTusExtensions', 'getTusExtensionsOfUpload']) await send(id)
  const { headers } = await send('createTusUpload')
  known.set(sampleId, headers.get('location')?.split('/').at(-1) ?? '')
  for (const id of ['getTusOffset', 'overrideTusMethod', 'sendTusChunk', 'eraseTusUpload']) await send(id)
})

test('Uppy', async () => {
  await send('signUppyForm')
  const open = async () => {
    const { uploadId } = (await send('startUppyUpload')).body(Type.Object({ uploadId: Type.String() }))
    known.set(sampleId, uploadId)
  }
  await open()
  const { url } = (await send('signUppyPart')).body(Type.Object({ url: Type.String() }))
  known.set('9b2cf535f27731c974343645a3985328', (await sendPart(url, bytes)).replaceAll('"', ''))
  await send('listUppyParts')
  await send('completeUppyUpload')
  await open()
  await send('eraseUppyUpload')
})

test('tokens and keys', async () => {
  await replaceId('makeToken')
  await send('revokeToken')
  await replaceId('createApiKey')
  for (const id of ['listApiKeys', 'revokeApiKey']) await send(id)
})

test('users', async () => {
  await announce(5, 'auth0|5f7c8ec7')
  for (const id of ['listUsers', 'getUsage']) await send(id)
  await replaceId('eraseUser')
  await send('getErasure')
})

test('webhooks', async () => {
  await replaceId('createWebhook')
  for (const id of ['listWebhooks', 'readWebhook', 'changeWebhook', 'rotateWebhookSecret']) await send(id)
  await replaceId('testWebhook')
  for (const id of ['listDeliveries', 'replayDelivery', 'deleteWebhook']) await send(id)
})

test('the fleet', async () => {
  for (const id of ['getCluster', 'watchCluster', 'burnCpu']) await send(id)
})

test('dead letters', async () => {
  for (const id of ['listDeadLetters', 'redriveDeadLetters']) await send(id)
})

test('every operation was sent', () => {
  assert.equal(
    reader.operations.map(({ operation }) => operation.operationId).filter((id) => !sent.has(id)),
    [],
  )
})

/** Sends an operation whose response has an id, and makes it that of its example. */
async function replaceId(operationId: string): Promise<void> {
  const found = reader.operations.find(({ operation }) => operation.operationId === operationId)
  const { responses = {} } = found?.operation ?? {}
  const examples = Object.values(responses).map(({ content }) => content?.['application/json']?.example)
  const example = examples.find((value) => value !== undefined)
  const sample = bodyOf({ status: 200, headers: new Headers(), body: example }, WithId).id
  known.set(sample, (await send(operationId)).body(WithId).id)
}

test.run()
