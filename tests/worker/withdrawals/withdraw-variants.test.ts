import type { ListedWithdrawal, Withdrawal } from '@millrace/shared/erasure/withdrawals.ts'
import type { Manifest } from '@millrace/shared/ledger/manifest.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createWithdrawVariants, pathsOf } from '@millrace/worker/withdrawals/withdraw-variants.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'

const test = suite('withdrawing variants')
const owner = 's-tester'

function manifestOf(id: string, keys: string[]): Manifest {
  const at = new Date(0).toISOString()
  const variant = { name: 'w', contentType: 'image/webp', width: 1, height: 1, size: 1 }
  return {
    version: 1,
    id,
    owner,
    outcome: 'ready',
    intent: { filename: 'a', contentType: 'image/png', size: 1, preset: 'default' },
    arrival: { etag: 'e', size: 1 },
    recipe: 'r',
    findings: {},
    variants: keys.map((key) => ({ ...variant, key })),
    createdAt: at,
    finishedAt: at,
  }
}

/** One pass over one withdrawal. @returns the steps, and which of the stored variants are left */
async function pass(options: {
  withdrawal: Withdrawal
  ageMs?: number
  stored: string[]
  named?: string[]
  cdn?: 'idle' | 'busy' | 'failing'
}) {
  const { withdrawal, ageMs = 0, named, cdn } = options
  let { stored } = options
  const steps: string[] = []
  const id = newUploadId()
  const listed: ListedWithdrawal = { owner, id, etag: 'e', changedAtMs: Date.now() - ageMs }
  const withdrawVariants = createWithdrawVariants({
    withdrawals: {
      list: async () => [listed],
      read: async () => withdrawal,
      remove: async () => void steps.push('removed'),
    },
    manifests: { read: async () => named && manifestOf(id, named) },
    storedVariants: {
      hasAny: async () => stored.length > 0,
      async erase(_address, prepare) {
        const isObsolete = await prepare()
        const before = stored.length
        stored = stored.filter((key) => !isObsolete({ key, writtenAtMs: 0 }))
        return before - stored.length
      },
    },
    loadCdn:
      cdn &&
      (async () => ({
        async invalidate() {
          steps.push('invalidated')
          if (cdn === 'failing') throw new Error('CloudFront is unavailable')
          return cdn === 'idle'
        },
      })),
  })
  const result = await withdrawVariants(async () => {}).catch((error: unknown) => String(error))
  return { result, steps, stored }
}

const withdrawal: Withdrawal = { version: 1, keys: ['a', 'b'] }

test('a withdrawal is removed only after the CDN has taken the invalidation', async () => {
  const idle = await pass({ withdrawal, stored: ['a', 'b'], cdn: 'idle' })
  assert.equal([idle.steps, idle.stored], [['invalidated', 'removed'], []])
  const busy = await pass({ withdrawal, stored: [], cdn: 'busy' })
  assert.equal([busy.steps, busy.result], [['invalidated'], { finished: 0, paths: 0 }])
  const failing = await pass({ withdrawal, stored: [], cdn: 'failing' })
  assert.equal([failing.steps, failing.result], [['invalidated'], 'Error: CloudFront is unavailable'])
})

test('a variant that the manifest names is never deleted, and others that were withdrawn are', async () => {
  const { stored } = await pass({ withdrawal, stored: ['a', 'b', 'c'], named: ['b'] })
  assert.equal(stored, ['b', 'c'])
})

test('a withdrawal that its manifest contradicts waits for a minute, and is removed then', async () => {
  const at = async (ageMs: number) => (await pass({ withdrawal, stored: [], named: ['a'], ageMs })).steps
  assert.equal(await at(50_000), [])
  assert.equal(await at(70_000), ['removed'])
})

test('a withdrawal of an erased upload waits until S3 has no variant of it', async () => {
  const all: Withdrawal = { version: 1 }
  const early = await pass({ withdrawal: all, stored: ['a'], cdn: 'idle' })
  assert.equal([early.steps, early.stored], [[], ['a']])
  assert.equal((await pass({ withdrawal: all, stored: [], cdn: 'idle' })).steps, ['invalidated', 'removed'])
})

test('each invalidation has at most 15 paths, and each withdrawal that it covers has one of them', async () => {
  const arbitrary = fc.array(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'), { maxLength: 40 })
  await checkProperty(
    fc.property(arbitrary, (owners) => {
      const gone = owners.map((each) => ({ owner: each, id: newUploadId(), etag: '', changedAtMs: 0 }))
      const { paths, covered } = pathsOf(gone)
      assert.ok(paths.length <= 15, `${paths.length} paths`)
      assert.is(new Set(paths).size, paths.length)
      assert.is(gone.length > 0, covered.length > 0)
      const covers = ({ owner: each, id }: ListedWithdrawal) =>
        paths.filter((path) => `/variants/${each}/${id}/x`.startsWith(path.slice(0, -1))).length
      for (const each of covered) assert.is(covers(each), 1)
      for (const each of gone) if (!covered.includes(each)) assert.is(covers(each), 0)
    }),
    { runs: 300 },
  )
})

test('a path for all of an owner is not added to 15 others', () => {
  const gone = [
    'a',
    'a',
    'a',
    'b',
    'b',
    'b',
    'c',
    'c',
    'c',
    'd',
    'd',
    'd',
    'e',
    'e',
    'e',
    'f',
    'f',
    'f',
    'f',
  ].map((owner) => ({ owner, id: newUploadId(), etag: '', changedAtMs: 0 }))
  const { paths, covered } = pathsOf(gone)
  assert.is(paths.length, 15)
  assert.equal(covered, gone.slice(0, 15))
})

test.run()
