import { createApiKeys, newApiKey, readApiKeys } from '@millrace/api/credentials/api-keys.ts'
import { findFirst } from '@millrace/api/credentials/caller.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('configured API keys')
const hash = 'ab'.repeat(32)

test('each key is found by its text and by its id, with its own tenant and scopes', async () => {
  const made = [
    newApiKey('acme', ['uploads:read', 'uploads:write']),
    newApiKey('acme', ['admin']),
    newApiKey('other', ['uploads:read']),
  ]
  const { find, findById } = createApiKeys(readApiKeys(made.map(({ entry }) => entry).join(',')))
  const found = made.map(({ key }) => find(key))
  assert.equal(
    found.map((caller) => caller && { ...caller, scopes: [...caller.scopes], hasEnded: undefined }),
    (
      [
        ['acme', ['uploads:read', 'uploads:write']],
        ['acme', ['admin']],
        ['other', ['uploads:read']],
      ] as const
    ).map(([tenant, scopes], index) => ({
      ...{ kind: 'key', id: `key-${made[index]?.entry.split('/').at(-1)?.slice(0, 32)}`, tenant },
      ...{ user: undefined, owner: tenant, scopes: [...scopes], endsAtMs: undefined, hasEnded: undefined },
    })),
  )
  for (const caller of found) {
    assert.is(await caller?.hasEnded(), false)
    assert.equal(findById(caller?.id ?? '')?.tenant, caller?.tenant)
    assert.equal(findById(caller?.id ?? '')?.scopes, caller?.scopes)
  }
})

test('no other text is a key, and no other id one of a key', () => {
  const { key, entry } = newApiKey('acme', ['admin'])
  const { find, findById } = createApiKeys(readApiKeys(entry))
  for (const text of ['', key.slice(1), `${key} `, key.toUpperCase(), hash, entry])
    assert.is(find(text), undefined, text)
  const { id = '' } = find(key) ?? {}
  for (const text of ['', 'key-', id.slice(0, -1), `${id}0`]) assert.is(findById(text), undefined, text)
  assert.is(createApiKeys([]).find(key), undefined)
})

test('entries may have white space around them, and empty ones are skipped', () => {
  const read = readApiKeys(` acme/admin/${hash} , ,\n b/uploads:read/${hash.replaceAll('a', 'c')},`)
  assert.equal(
    read.map(({ tenant, scopes }) => [tenant, ...scopes]),
    [
      ['acme', 'admin'],
      ['b', 'uploads:read'],
    ],
  )
  for (const none of ['', ' ', ',', ' , ']) assert.equal(readApiKeys(none), [])
})

test('each wrong entry is reported by its number and its reason, and the right ones are read', () => {
  const reports: string[] = []
  const read = readApiKeys(
    [
      `Acme/admin/${hash}`,
      `ok/admin/${hash}`,
      `acme/admin+root/${hash}`,
      `acme//${hash}`,
      `acme/admin/${hash}0`,
      `acme/admin/${hash.toUpperCase()}`,
      `acme/admin/0${hash.slice(2)}`,
      'acme/admin',
    ].join(','),
    (message) => reports.push(message),
  )
  assert.equal(
    read.map(({ tenant }) => tenant),
    ['ok'],
  )
  const reasonOf = {
    owner: /its owner must be/,
    scopes: /its scopes must be of uploads:read, uploads:write, act-as, /,
    hash: /its hash must be/,
  }
  const expected: [entry: number, reason: keyof typeof reasonOf][] = [
    [1, 'owner'],
    [3, 'scopes'],
    [4, 'scopes'],
    ...[5, 6, 7, 8].map((entry): [number, 'hash'] => [entry, 'hash']),
  ]
  assert.is(reports.length, expected.length)
  for (const [index, [entry, reason]] of expected.entries()) {
    const report = reports[index] ?? ''
    assert.match(report, new RegExp(`^API_KEYS: entry ${entry} must be `))
    assert.match(report, reasonOf[reason])
    assert.not.match(report, hash)
  }
})

test('the first finder that knows a token decides, and those after it are not asked', async () => {
  const { key, entry } = newApiKey('acme', ['admin'])
  const { find } = createApiKeys(readApiKeys(entry))
  const asked: string[] = []
  const note = (name: string) => (token: string) => {
    asked.push(`${name} ${token.length}`)
    return undefined
  }
  const caller = await findFirst([note('first'), find, note('last')], key)
  assert.is(caller?.tenant, 'acme')
  assert.equal(asked, ['first 46'])
  assert.is(await findFirst([note('only')], 'x'), undefined)
})

test.run()
