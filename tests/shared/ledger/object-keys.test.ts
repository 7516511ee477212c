import {
  announcementKey,
  apiKeyKey,
  editKey,
  erasureKey,
  manifestKey,
  originalKey,
  outboxKey,
  outboxTenantEnd,
  parseAnnouncementKey,
  parseApiKeyKey,
  parseEditKey,
  parseErasureKey,
  parseManifestKey,
  parseOriginalKey,
  parseOutboxKey,
  parseUnfinishedKey,
  parseUserErasureKey,
  parseUserKey,
  parseVariantKey,
  parseWithdrawalKey,
  receiptKey,
  revocationKey,
  sweepStateKey,
  tenantApiKeysPrefix,
  unfinishedKey,
  uploadVariantsPrefix,
  usageKey,
  usagePageKey,
  userErasureKey,
  userKey,
  variantKey,
  webhookKey,
  withdrawalKey,
} from '@millrace/shared/ledger/object-keys.ts'
import { variantVersion } from '@millrace/shared/ledger/variant-version.ts'
import { newUploadId, uploadIdTimeMs } from '@millrace/shared/uploads/upload-id.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'

const test = suite('object keys')
const owners = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,62}$/)
const ids = fc.uuid({ version: 7 })

test('object keys are parsed to the owner and id that they were built from', async () => {
  await checkProperty(
    fc.property(owners, ids, (owner, id) => {
      assert.equal(parseOriginalKey(originalKey({ owner, id })), { owner, id })
      assert.equal(parseManifestKey(manifestKey({ owner, id })), { owner, id })
      assert.is(parseManifestKey(originalKey({ owner, id })), undefined)
      assert.is(parseOriginalKey(manifestKey({ owner, id })), undefined)
      assert.equal(parseErasureKey(erasureKey({ owner, id })), { owner, id })
      assert.is(parseErasureKey(originalKey({ owner, id })), undefined)
      assert.equal(parseAnnouncementKey(announcementKey({ owner, id })), { owner, id })
      assert.equal(parseUnfinishedKey(unfinishedKey({ owner, id })), { owner, id })
      assert.is(parseAnnouncementKey(unfinishedKey({ owner, id })), undefined)
      assert.is(parseUnfinishedKey(announcementKey({ owner, id })), undefined)
      assert.equal(parseWithdrawalKey(withdrawalKey({ owner, id })), { owner, id })
      // The key of an erasure marker is never parsed as a key of the upload.
      assert.is(parseOriginalKey(erasureKey({ owner, id })), undefined)
      assert.is(parseManifestKey(erasureKey({ owner, id })), undefined)
    }),
  )
})

test('the objects that a bucket has keep their keys, and each is read as what it is and as nothing else', () => {
  const id = '0199aaaa-aaaa-7aaa-8aaa-aaaaaaaaaaaa'
  const tenant = '0123456789abcdef'
  const keyId = `key-${'0123456789abcdef'.repeat(2)}`
  const eventId = `evt_${'0123456789abcdef'.repeat(2)}`
  const upload = { owner: 's-1', id }
  const parsers: ((key: string) => unknown)[] = [
    ...[parseOriginalKey, parseManifestKey, parseUnfinishedKey, parseAnnouncementKey, parseErasureKey],
    ...[parseEditKey, parseWithdrawalKey, parseUserKey, parseUserErasureKey, parseApiKeyKey],
    parseOutboxKey,
  ]
  const kept: [key: string, text: string, parse?: (key: string) => unknown, expected?: unknown][] = [
    [originalKey(upload), `originals/s-1/${id}`, parseOriginalKey, upload],
    [manifestKey(upload), `manifests/s-1/${id}.json`, parseManifestKey, upload],
    [unfinishedKey(upload), `unfinished/s-1/${id}`, parseUnfinishedKey, upload],
    [announcementKey(upload), `unfinished/s-1/${id}.json`, parseAnnouncementKey, upload],
    [erasureKey(upload), `erasures/s-1/${id}`, parseErasureKey, upload],
    [editKey(upload), `edits/s-1/${id}.json`, parseEditKey, upload],
    [withdrawalKey(upload), `withdrawn/s-1/${id}.json`, parseWithdrawalKey, upload],
    [uploadVariantsPrefix(upload), `variants/s-1/${id}/`],
    [userKey('u-1'), 'users/u-1.json', parseUserKey, 'u-1'],
    [userErasureKey('u-1'), 'erasing/u-1.json', parseUserErasureKey, 'u-1'],
    [receiptKey('u-1', id), `receipts/u-1/${id}.json`],
    [usageKey(tenant), `usage/${tenant}/latest.json`],
    [usagePageKey(tenant, 'count', 3), `usage/${tenant}/count/3.json`],
    [apiKeyKey(tenant, keyId), `keys/${tenant}/${keyId}.json`, parseApiKeyKey, keyId],
    [tenantApiKeysPrefix(tenant), `keys/${tenant}/`],
    [revocationKey('1764000000-x'), 'revocations/1764000000-x'],
    [webhookKey(tenant, 'hook'), `webhooks/${tenant}/hook.json`],
    [
      outboxKey(tenant, id, eventId),
      `outbox/${tenant}/${id}/${eventId}.json`,
      parseOutboxKey,
      { tenantKey: tenant, uploadId: id, eventId },
    ],
    [sweepStateKey(), 'sweep/state.json'],
  ]
  for (const [key, text, parse, expected] of kept) {
    assert.is(key, text)
    for (const each of parsers) assert.equal(each(key), each === parse ? expected : undefined, key)
    // A key that goes on is another one.
    for (const each of parsers) assert.is(each(`${key}/x`), undefined, key)
    for (const each of parsers) assert.is(each(`x${key}`), undefined, key)
  }
  assert.is(parseOutboxKey(`outbox/${tenant}/no-upload/${eventId}.json`), undefined)
  for (const other of ['users/.json', 'users/U.json', 'users/a/b.json', 'users/u-1'])
    assert.is(parseUserKey(other), undefined, other)
})

test('the end of a tenant in the outbox follows all of its events, and precedes those of other tenants', () => {
  const of = (tenant: string) => outboxKey(tenant, newUploadId(), `evt_${'f'.repeat(32)}`)
  const end = outboxTenantEnd('00000000000000aa')
  assert.ok(of('00000000000000aa') < end)
  for (const next of ['00000000000000ab', '00000000000000b0', '1'.repeat(16)]) assert.ok(end < of(next), next)
})

test('a variant has a key of its own for each version and for each content, and is found by it', () => {
  const address = { owner: 'u-1', id: newUploadId() }
  const bytes = '0123456789abcdef'.repeat(4)
  const variant = { version: 'v1', name: 'w320', sha256: bytes, extension: 'webp' }
  const key = variantKey(address, variant)
  assert.is(key, `variants/u-1/${address.id}/v1/w320.0123456789abcdef.webp`)
  assert.equal(parseVariantKey(key), { ...address, version: 'v1', name: 'w320' })
  const others = [
    variantKey(address, { ...variant, version: 'v2' }),
    variantKey(address, { ...variant, sha256: bytes.replaceAll('0', '1') }),
  ]
  assert.is(new Set([key, ...others]).size, 3)
  // As earlier versions of Millrace wrote it.
  const earlier = `variants/u-1/${address.id}/default/w320.webp`
  assert.equal(parseVariantKey(earlier), { ...address, version: 'default', name: 'w320' })
  for (const other of [
    `originals/u-1/${address.id}`,
    `variants/u-1/${address.id}`,
    `${key}/x`,
    'variants/u-1/x/v1/a.webp',
  ])
    assert.is(parseVariantKey(other), undefined, other)
})

test('what variants are made of gives their version: the bytes, and the recipe', () => {
  const arrival = { etag: 'e1', versionId: 'v1', size: 1 }
  const version = variantVersion(arrival, '2-abc')
  assert.match(version, /^[0-9a-f]{16}$/)
  assert.is(variantVersion({ ...arrival, versionId: 'v2' }, '2-abc'), version, 'the same bytes sent again')
  const others = [variantVersion(arrival, '3-abc'), variantVersion({ ...arrival, etag: 'e2' }, '2-abc')]
  assert.is(new Set([version, ...others]).size, 3)
})

test('keys of any other form are not parsed', async () => {
  await checkProperty(
    fc.property(fc.string(), (text) => {
      assert.is(parseOriginalKey(text), undefined)
      assert.is(parseOriginalKey(`originals/${text}`), undefined)
      assert.is(parseErasureKey(text), undefined)
      assert.is(parseErasureKey(`erasures/${text}`), undefined)
    }),
  )
  const id = newUploadId()
  for (const key of [`originals/a/b/${id}`, `originals//${id}`, `originals/A/${id}`, `originals/../${id}`]) {
    assert.is(parseOriginalKey(key), undefined, key)
  }
  assert.is(parseOriginalKey(`originals/a/${id.toUpperCase()}`), undefined)
  assert.is(parseOriginalKey(`originals/a/${id}/`), undefined)
})

test('an upload id contains the time of its creation', () => {
  const before = Date.now()
  const createdAtMs = uploadIdTimeMs(newUploadId())
  assert.ok(createdAtMs >= before && createdAtMs <= Date.now())
})

test.run()
