import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as prefixes from '@millrace/shared/ledger/object-keys.ts'
import * as assert from 'uvu/assert'
import { root } from '../support/sst-platform.ts'
import { suite } from '../support/suite.ts'

const test = suite('values that stacks share with the services')

test('no stack file writes a prefix of the bucket by hand', () => {
  const names = Object.values(prefixes).filter((value) => typeof value === 'string')
  assert.equal(names.toSorted(), [
    'edits/',
    'erasing/',
    'erasures/',
    'keys/',
    'manifests/',
    'originals/',
    'outbox/',
    'receipts/',
    'revocations/',
    'sweep/',
    'unfinished/',
    'usage/',
    'users/',
    'variants/',
    'webhooks/',
    'withdrawn/',
  ])
  const found = globSync('stacks/*.ts', { cwd: root }).flatMap((file) => {
    // Comments begin a line: `/*` also ends the resource of a policy.
    const code = readFileSync(join(root, file), 'utf8').replaceAll(/^ *(\/\*.*?\*\/|\/\/[^\n]*)/gms, '')
    return names.filter((name) => code.includes(name)).map((name) => `${file}: ${name}`)
  })
  assert.equal(found, [])
})

test.run()
