import { readFileSync } from 'node:fs'
import * as assert from 'uvu/assert'
import { suite } from '../support/suite.ts'

type Locked = { optionalDependencies?: Record<string, string> }

const test = suite('lock file')
const file = new URL('../../package-lock.json', import.meta.url)
const { packages }: { packages: Record<string, Locked> } = JSON.parse(readFileSync(file, 'utf8'))

// `npm install` drops the packages of other platforms from the lock file when it starts from an installed
// node_modules, or when the registry does not have them; `npm ci` then refuses the lock file everywhere.
test('knows the optional packages of all platforms', () => {
  const missing = Object.entries(packages).flatMap(([folder, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies).filter(
      (name) => !packages[`node_modules/${name}`] && !packages[`${folder}/node_modules/${name}`],
    ),
  )
  assert.equal(missing, [])
})

// The Dockerfile copies only the node_modules at the top into the images.
test('all packages of the images lie in the node_modules at the top', () => {
  const nested = Object.keys(packages).filter((folder) =>
    /^packages\/(shared|api|worker|local|local-s3)\/node_modules\//.test(folder),
  )
  assert.equal(nested, [])
})

// Packages of the SDK name exact versions of each other, and `overrides` in package.json names one of them for all.
test('there is one copy of the client for S3, which every start of a service loads', () => {
  const copies = Object.keys(packages).filter((folder) => folder.endsWith('node_modules/@aws-sdk/client-s3'))
  assert.equal(copies, ['node_modules/@aws-sdk/client-s3'])
})

test.run()
