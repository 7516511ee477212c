import { createClient } from '@millrace/client'
import * as assert from 'uvu/assert'
import { SendError } from '../../packages/client/src/api/millrace-error.ts'
import { createInterruptedUploads } from '../../packages/client/src/sending/interrupted-uploads.ts'
import type { SendBody } from '../../packages/client/src/sending/send-body.ts'
import { createSendFile } from '../../packages/client/src/sending/send-file.ts'
import { createSlots } from '../../packages/client/src/sending/slots.ts'
import { createStartUpload } from '../../packages/client/src/sending/start-upload.ts'
import { newTransfer } from '../../packages/client/src/sending/transfer.ts'
import { createUploadRequests } from '../../packages/client/src/sending/upload-requests.ts'
import { suite } from '../support/suite.ts'
import { withInstantTimers } from './support/instant-timers.ts'

const test = suite('start of an upload')
const hourMs = 60 * 60 * 1000
const file = new File(['ten bytes!'], 'a.txt', { type: 'text/plain', lastModified: 1 })

/** A client whose API and S3 are in memory. */
function openClient(sendBody: SendBody) {
  const calls: string[] = []
  const { api } = createClient({
    origin: 'https://media.example',
    async fetch(request) {
      calls.push(`${request.method} ${new URL(request.url).pathname}`)
      if (request.method === 'DELETE') return Response.json({ id: 'one' })
      if (request.method === 'GET') return Response.json({ id: 'one', state: 'received', size: file.size })
      const transport = { kind: 'put', url: 'https://s3.example/one', headers: {} }
      return Response.json({ id: 'one', state: 'awaiting', transport }, { status: 201 })
    },
  })
  const requests = createUploadRequests({ api })
  const entries = new Map<string, string>()
  const interrupted = createInterruptedUploads({
    origin: 'https://media.example',
    storage: {
      get: (key) => entries.get(key),
      set: (key, value) => void entries.set(key, value),
      remove: (key) => void entries.delete(key),
    },
  })
  const startUpload = createStartUpload({
    requests,
    sendFile: createSendFile({ requests, sendBody }),
    interrupted,
    files: createSlots(1),
  })
  return { startUpload, interrupted, entries, calls }
}

test('progress begins at nothing, never decreases although bytes are sent again, and ends at the size', async () => {
  let attempts = 0
  const { startUpload, entries } = openClient(async ({ onProgress }) => {
    attempts += 1
    onProgress(attempts === 1 ? 0.5 : 0.2)
    if (attempts < 3) throw new SendError(503, 'busy')
    onProgress(0.7)
    onProgress(1)
    return null
  })
  const timers = withInstantTimers(0)
  try {
    const steps: [number, number][] = []
    const task = startUpload(file, { onProgress: (sent, total) => steps.push([sent, total]) })
    await task.sent
    assert.is(attempts, 3)
    assert.equal(steps, [
      [0, 10],
      [5, 10],
      [7, 10],
      [10, 10],
    ])
    assert.is(task.state, 'sent')
    assert.is(entries.size, 0, 'nothing is remembered of a file that is sent')
  } finally {
    timers.restore()
  }
})

test('an abort erases the upload, leaves nothing in the storage, and reports no further progress', async () => {
  const sending = Promise.withResolvers<void>()
  const { startUpload, entries, calls } = openClient(({ onProgress, signal }) => {
    onProgress(0.5)
    sending.resolve()
    return new Promise((_, reject) =>
      signal.addEventListener('abort', () => {
        onProgress(0.9)
        reject(signal.reason)
      }),
    )
  })
  const steps: number[] = []
  const task = startUpload(file, { onProgress: (sent) => steps.push(sent) })
  await sending.promise
  assert.is(entries.size, 1)
  await task.abort(new Error('enough'))
  assert.match(String(await task.sent.catch(String)), 'enough')
  assert.equal([task.state, steps, entries.size], ['aborted', [0, 5], 0])
  assert.equal(calls, ['POST /uploads', 'DELETE /uploads/one'])
})

test('a transfer is remembered for a day, or until its parts expire; later entries count as none', async () => {
  const { interrupted, entries } = openClient(async () => null)
  const realNow = Date.now
  const startMs = realNow()
  const at = async (ms: number) => {
    Date.now = () => startMs + ms
    return (await interrupted.find(file, ''))?.id
  }
  const announcement = { filename: 'a.txt', contentType: 'text/plain', size: 10 }
  try {
    const memory = await interrupted.open(file, '')
    assert.ok(memory)
    Date.now = () => startMs
    await memory.write({ ...newTransfer(announcement), id: 'one' })
    assert.equal([await at(24 * hourMs - 1), await at(24 * hourMs)], ['one', undefined])
    const expiresAtMs = startMs + 7 * 24 * hourMs
    await memory.write({ ...newTransfer(announcement), id: 'two', isInParts: true, expiresAtMs })
    assert.equal([await at(7 * 24 * hourMs - 1), await at(7 * 24 * hourMs)], ['two', undefined])
    assert.is((await interrupted.find(file, 'another user'))?.id, undefined)
    const other = new File(['ten bytes?'], 'a.txt', { type: 'text/plain', lastModified: 1 })
    Date.now = () => startMs
    assert.is((await interrupted.find(other, ''))?.id, undefined, 'other bytes')
    for (const wrong of [
      '',
      'null',
      '{}',
      '{"expiresAtMs":1e15}',
      '{"expiresAtMs":1e15,"transfer":{"key":1}}',
    ]) {
      for (const key of entries.keys()) entries.set(key, wrong)
      assert.is(await interrupted.find(file, ''), undefined, wrong)
    }
    memory.release()
  } finally {
    Date.now = realNow
  }
})

test.run()
