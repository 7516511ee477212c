import { UploadEvidence } from '@millrace/api/uploads/evidence-routes.ts'
import { PresetList } from '@millrace/api/uploads/preset-routes.ts'
import { createManifests } from '@millrace/shared/ledger/manifest.ts'
import { parseOriginalKey } from '@millrace/shared/ledger/object-keys.ts'
import { recordArrival } from '@millrace/shared/lifecycle/upload-truth.ts'
import { createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { announce, formOf } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'

const test = suite('evidence of an upload')
const plain = { name: 'plain', variants: [] }
const arrival = { etag: 'e1', size: 7 }
let api: ApiInstances

test.before(async () => {
  api = await startApiInstances({ environment: { PRESETS: JSON.stringify([plain]) } })
})
test.after(() => api.close())

async function announced() {
  const client = createHttpClient(api.url)
  const form = formOf(await announce(client, 7))
  const address = parseOriginalKey(form.fields['key'] ?? '')
  if (!address) throw new Error('The key in the form is not the key of an original.')
  const records = createUploadRecords({ redis: api.redis, prefix: api.prefix })
  const evidence = async () => bodyOf(await client.get(`/uploads/${address.id}/evidence`), UploadEvidence)
  return { client, address, records, evidence }
}

test('the history of an upload that waits for its file begins with its announcement', async () => {
  const { address, records, evidence } = await announced()
  const stored = await records.find(address)
  assert.equal(await evidence(), { history: [{ state: 'awaiting', at: stored?.upload.createdAt }] })
})

test('a finished upload has its states with times, its checks and its steps, without versions of tools', async () => {
  const { address, records, evidence } = await announced()
  const stored = await records.update(address, (current) => {
    const received = recordArrival(current, arrival)
    return received && { ...received, state: 'ready' }
  })
  assert.ok(stored)
  const { intent, createdAt } = stored.upload
  const steps = [{ name: 'render', ms: 12, cpuMs: 9 }]
  const checks = [{ name: 'size', result: 'passed' as const }]
  const at = (second: number) => new Date(Date.parse(createdAt) + second * 1000).toISOString()
  await createManifests(api).write(
    {
      version: 1,
      ...address,
      outcome: 'ready',
      intent,
      arrival,
      recipe: 'x',
      findings: {},
      variants: [],
      evidence: {
        attempt: 1,
        receivedAt: at(1),
        startedAt: at(2),
        checks,
        limits: { maxImagePixels: 9 },
        tools: { sharp: '1' },
        steps,
      },
      createdAt,
      finishedAt: at(3),
    },
    undefined,
  )
  const history = [
    { state: 'awaiting', at: createdAt },
    { state: 'received', at: at(1) },
    { state: 'processing', at: at(2) },
    { state: 'ready', at: at(3) },
  ]
  const processing = { attempt: 1, checks, limits: { maxImagePixels: 9 }, steps }
  assert.equal(await evidence(), { history, processing })

  const again = await records.update(address, (current) => ({ ...current, state: 'received' }))
  const last = { state: 'received', at: again?.upload.updatedAt }
  assert.equal(await evidence(), { history: [...history, last], processing })
})

test('the evidence of an upload of another session is not found', async () => {
  const { address } = await announced()
  const stranger = createHttpClient(api.url)
  await stranger.get('/session')
  assert.is((await stranger.get(`/uploads/${address.id}/evidence`)).status, 404)
})

test('the presets are listed with the names of their variants', async () => {
  const { presets } = bodyOf(await createHttpClient(api.url).get('/presets'), PresetList)
  assert.ok(presets.some(({ name, variants }) => name === 'plain' && variants.length === 0))
  assert.ok(presets.some(({ name, variants }) => name === 'default' && variants.includes('thumbnail')))
})

test.run()
