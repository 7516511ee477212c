import { randomUUID } from 'node:crypto'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createUploadIndex } from '@millrace/shared/uploads/upload-index.ts'
import { createUploadRecords, type FoundUpload } from '@millrace/shared/uploads/upload-records.ts'
import fc from 'fast-check'
import { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'

const test = suite('writers of one record')
const hourMs = 60 * 60 * 1000
const dayMs = 24 * hourMs
/** More than any step of a test takes. */
const toleranceMs = 60_000
const owner = 'someone'
let redis: Redis
let prefix: string

test.before(() => {
  redis = new Redis(process.env['REDIS_URL'] ?? '')
})
test.before.each(() => {
  prefix = `test-${randomUUID()}`
})
test.after(() => redis.disconnect())

const create = () => createUploadRecords({ redis, prefix })

function upload(fields: Partial<Upload> = {}): Upload {
  const now = new Date().toISOString()
  return {
    id: newUploadId(),
    owner,
    state: 'received',
    intent: { filename: 'a', contentType: 'a/b', size: 1, preset: 'default' },
    arrival: { etag: 'e', size: 1 },
    findings: {},
    variants: [],
    createdAt: now,
    updatedAt: now,
    ...fields,
  }
}

/** Adds a warning, which stands for what a writer has to say. */
const adding = (name: string) => (current: Upload) => ({
  ...current,
  findings: { warnings: [...(current.findings.warnings ?? []), name] },
})

async function found(records: ReturnType<typeof create>, address: Upload): Promise<FoundUpload> {
  const stored = await records.find(address)
  if (!stored) throw new Error('There is no record.')
  return stored
}

const warningsOf = async (records: ReturnType<typeof create>, address: Upload) =>
  (await found(records, address)).upload.findings.warnings

async function codeOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => 'done',
    (error: unknown) => (error instanceof AppError ? error.code : error),
  )
}

const recordKey = ({ id }: Upload) => `${prefix}:{${owner}}:upload:${id}`
const erasedKey = ({ id }: Upload) => `${prefix}:{${owner}}:erased:${id}`

test('a change that was computed from a record of before another change is computed again', async () => {
  const records = create()
  const address = upload()
  await records.create(address)
  const stale = await found(records, address)
  await records.update(address, adding('first'))
  const seen: unknown[] = []
  await records.update(
    address,
    (current) => {
      seen.push(current.findings.warnings)
      return adding('second')(current)
    },
    { found: stale },
  )
  assert.equal(seen, [undefined, ['first']])
  assert.equal(await warningsOf(records, address), ['first', 'second'])
})

test('what S3 said before another process changed the record does not replace the change', async () => {
  const records = create()
  const address = upload()
  await records.create(address)
  const stale = await found(records, address)
  await records.update(address, adding('first'))
  assert.is(await records.putChecked(stale, adding('stale')(address)), undefined)
  assert.equal(await warningsOf(records, address), ['first'])
})

test('a record that changed since it was compared with S3 is not marked as checked', async () => {
  const records = create()
  const address = upload()
  await records.create(address)
  await redis.hset(recordKey(address), 'epoch', 1)
  const stale = await found(records, address)
  assert.not(stale.isChecked)
  await records.update(address, adding('first'))
  assert.is(await records.putChecked(stale, stale.upload), undefined)
  assert.not((await found(records, address)).isChecked)
  const current = await found(records, address)
  assert.is((await records.putChecked(current, current.upload))?.revision, current.revision)
  assert.ok((await found(records, address)).isChecked)
})

test('a record that another process created meanwhile is kept by whoever creates it or reads it from S3', async () => {
  const records = create()
  const address = upload()
  const first = await records.create(adding('first')(address))
  const second = await records.create(adding('second')(address))
  assert.equal(second.upload.findings.warnings, ['first'])
  assert.is(second.revision, first.revision)
  assert.is(await records.putChecked(undefined, adding('third')(address)), undefined)
  assert.equal(await warningsOf(records, address), ['first'])
})

test('a record is only forgotten as it was found', async () => {
  const records = create()
  const address = upload()
  await records.create(address)
  const stale = await found(records, address)
  await records.update(address, adding('first'))
  assert.not(await records.forget(address, stale))
  assert.equal(await warningsOf(records, address), ['first'])
  assert.ok(await records.forget(address, await found(records, address)))
  assert.is(await records.find(address), undefined)
})

test('nobody writes a record of an erased upload: neither a change, nor a new one, nor what S3 said', async () => {
  const records = create()
  const address = upload()
  await records.create(address)
  const stale = await found(records, address)
  await records.erase(address)
  // As a failover brings it back.
  await redis.hset(recordKey(address), 'revision', stale.revision, 'record', JSON.stringify(address))
  for (const write of [
    () => records.update(address, adding('late'), { found: stale }),
    () => records.update(address, adding('late')),
    () => records.create(address),
    () => records.putChecked(stale, adding('late')(address)),
    () => records.putChecked(undefined, address),
  ])
    assert.is(await codeOf(write()), 'upload_not_found')
  assert.is(await redis.hget(recordKey(address), 'record'), JSON.stringify(address))
})

test('a repeated erasure takes back neither that nothing is left nor how long that is known', async () => {
  const records = create()
  const address = upload()
  const lifeIs = async (expectedMs: number) => {
    const lifeMs = await redis.pttl(erasedKey(address))
    assert.ok(lifeMs <= expectedMs && lifeMs > expectedMs - toleranceMs, `${lifeMs} ms, not ${expectedMs}`)
  }
  await records.erase(address)
  assert.equal([await records.isErased(address), await records.isErasureVerified(address)], [true, false])
  await lifeIs(8 * dayMs)
  await records.verifyErasure(address)
  await records.erase(address)
  assert.equal(
    [await records.isErasureVerified(address), await records.isErasureConfirmed(address)],
    [true, false],
  )
  await records.confirmErasure(address)
  await lifeIs(31 * dayMs)
  await records.erase(address)
  await records.verifyErasure(address)
  assert.ok(await records.isErasureConfirmed(address))
  await lifeIs(31 * dayMs)
})

test('revisions and sequence numbers rise although the clock does not, and follow the clock after Redis lost them', async () => {
  const records = create()
  const address = upload()
  const startedAt = Date.now()
  await records.create(address)
  // Redis lost the clock's progress: the last change was in the future.
  const future = Date.now() + dayMs
  await redis.hset(recordKey(address), 'revision', future)
  await redis.hset(`${prefix}:{${owner}}:sequence`, 'last', future)
  const next = await records.update(address, adding('first'))
  assert.is(next?.revision, future + 1)
  assert.is(await records.lastSequence(owner), future + 1)
  await redis.del(recordKey(address), `${prefix}:{${owner}}:sequence`)
  const again = await records.create(address)
  const tooOld = startedAt - toleranceMs
  for (const number of [again.revision, await records.lastSequence(owner)])
    assert.ok(number > tooOld && number <= Date.now() + toleranceMs, String(number))
})

test('the expiry of an owner of whom two records are changed is that of the longest, and each record has its own', async () => {
  const records = create()
  const address = upload({ state: 'ready' })
  await records.create(address)
  const lifeMs = await redis.pttl(recordKey(address))
  assert.ok(lifeMs <= 7 * dayMs && lifeMs > 7 * dayMs - toleranceMs, `${lifeMs} ms`)
})

test('an index is neither extended nor cleared by who read it before another process changed it', async () => {
  const index = createUploadIndex({ redis, prefix })
  const [old = '', middle = '', young = ''] = Array.from({ length: 3 }, () => newUploadId())
  await index.extend(owner, [young], { epoch: 5, from: young }, undefined)
  // Another process was first.
  assert.ok(await index.extend(owner, [middle], { epoch: 5, from: middle }, young))
  assert.not(await index.extend(owner, [old], { epoch: 5, from: '' }, young))
  assert.equal(await index.known(owner), { epoch: 5, from: middle })
  assert.equal((await index.page(owner, { before: undefined, limit: 9 })).ids, [young, middle])
})

const writer = fc.constantFrom(0, 1, 2, 3)

test('property: however the reads and writes of four processes interleave, a write succeeds if nobody wrote since its read, and no change is lost', async () => {
  await checkProperty(
    fc.asyncProperty(
      fc.array(fc.record({ writer, does: fc.constantFrom('read', 'put', 'update', 'forget') }), {
        maxLength: 16,
      }),
      async (steps) => {
        prefix = `test-${randomUUID()}`
        const records = create()
        const address = upload()
        await records.create(address)
        /** What Redis should have: the changes, and how many writes there were. */
        let model: { warnings: string[] } | undefined = { warnings: [] }
        let writes = 0
        const read = new Map<number, { found: FoundUpload | undefined; at: number }>()
        for (const [n, { writer, does }] of steps.entries()) {
          const last = read.get(writer)
          const isCurrent = last?.at === writes
          const name = `${writer} ${n}`
          if (does === 'read') {
            read.set(writer, { found: await records.find(address), at: writes })
          } else if (!last) {
            // It has read nothing.
          } else if (does === 'put') {
            const next = adding(name)(last.found?.upload ?? address)
            const stored = await records.putChecked(last.found, next)
            assert.is(stored !== undefined, isCurrent, 'put')
            if (stored) {
              model = { warnings: [...(last.found ? (model?.warnings ?? []) : []), name] }
              writes += 1
            }
          } else if (does === 'update') {
            const stored = await records.update(address, adding(name), { found: last.found })
            assert.is(stored !== undefined, model !== undefined, 'update')
            if (model) {
              model = { warnings: [...model.warnings, name] }
              writes += 1
            }
          } else if (last.found) {
            assert.is(await records.forget(address, last.found), isCurrent, 'forget')
            if (isCurrent) {
              model = undefined
              writes += 1
            }
          }
          const { upload: stored } = (await records.find(address)) ?? {}
          assert.equal(stored && (stored.findings.warnings ?? []), model?.warnings)
        }
      },
    ),
    { runs: 60 },
  )
})

test('changes of eight processes at the same time are all kept', async () => {
  const address = upload()
  await create().create(address)
  const names = Array.from({ length: 8 }, (_, n) => `writer ${n}`)
  await Promise.all(names.map((name) => create().update(address, adding(name))))
  assert.equal((await warningsOf(create(), address))?.toSorted(), names)
})

test.run()
