// A program of somebody who has installed the package. It is copied into a folder that has nothing else.
import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { ApiProblem, createClient, verifyWebhook, WebhookError } from '@millrace/client'
import { createUploads } from '@millrace/client/server'

const [origin, apiKey] = process.argv.slice(2)
const millrace = createClient({ origin, apiKey, user: process.version })
const MiB = 1024 ** 2

const small = await millrace.upload(new File(['hello'], 'note.txt', { type: 'text/plain' }))
assert.deepEqual([small.filename, small.size, small.user], ['note.txt', 5, process.version])

// Ten bytes more than a part. The first attempt ends as soon as a part has arrived.
const bytes = new Uint8Array(8 * MiB + 10).fill(7)
const ending = new AbortController()
let id = ''
const interrupted = millrace.upload(new Blob([bytes]), {
  signal: ending.signal,
  onAnnounced: (announced) => {
    id = announced
  },
  onProgress: (sent) => {
    if (sent > 0 && sent < bytes.length) ending.abort(new Error('closed'))
  },
})
await assert.rejects(interrupted, /closed/)
let resumedAt = -1
await millrace.upload(new Blob([bytes]), {
  resume: id,
  onProgress: (sent) => {
    if (resumedAt < 0) resumedAt = sent
  },
})
assert.ok(resumedAt > 0, 'nothing was resumed')

const states = []
const finished = await millrace.waitUntilFinished(id, { onChange: ({ state }) => states.push(state) })
assert.equal(finished.state, 'ready')
assert.equal(finished.size, bytes.length)
await millrace.waitUntilFinished(small.id)

const { url, expiresAt } = await millrace.downloadUrl(small.id)
assert.equal(await (await fetch(url)).text(), 'hello')
assert.ok(Date.parse(expiresAt) > Date.now())
await assert.rejects(
  millrace.downloadUrl(small.id, { variant: 'none' }),
  (error) => error instanceof ApiProblem && error.code === 'variant_not_found',
)

const watching = new AbortController()
let snapshot = []
await millrace.watch({
  signal: watching.signal,
  onSnapshot: (uploads) => {
    snapshot = uploads.map((upload) => upload.id)
    watching.abort()
  },
})
assert.deepEqual(snapshot, [id, small.id])

const listed = []
for await (const upload of millrace.list({ state: ['ready'] })) listed.push(upload.id)
assert.deepEqual(listed, [id, small.id])
for (const each of listed) assert.equal((await millrace.erase(each)).id, each)
await assert.rejects(
  millrace.get(id),
  (error) => error instanceof ApiProblem && error.code === 'upload_not_found',
)

const secret = 'whsec_c2VjcmV0'
const body = JSON.stringify({ id: 'evt_1', type: 'upload.deleted', data: { id, state: 'deleted' } })
const seconds = Math.floor(Date.now() / 1000)
const mac = createHmac('sha256', 'secret').update(`evt_1.${seconds}.${body}`).digest('base64')
const headers = new Headers({
  'webhook-id': 'evt_1',
  'webhook-timestamp': String(seconds),
  'webhook-signature': `v1,${mac}`,
})
assert.equal(verifyWebhook(body, headers, secret).data.id, id)
assert.throws(() => verifyWebhook(`${body} `, headers, secret), WebhookError)
assert.equal(typeof createUploads, 'function')

console.log(`ok ${process.version}`)
