import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import * as assert from 'uvu/assert'
import { suite } from '../support/suite.ts'

const test = suite('rooms')
const root = join(import.meta.dirname, '../..')
/** "At most some 15." A room that grows beyond this is two. */
const maxFiles = 20
const architecture = readFileSync(join(root, 'docs/architecture.md'), 'utf8')

test('no folder of a package has more files than a reader takes in', () => {
  const counts = new Map<string, number>()
  for (const file of globSync('packages/*/src/**/*.{ts,tsx}', { cwd: root })) {
    counts.set(dirname(file), (counts.get(dirname(file)) ?? 0) + 1)
  }
  assert.ok(counts.size > 60)
  assert.equal(
    [...counts].filter(([, count]) => count > maxFiles),
    [],
  )
})

for (const name of ['shared', 'api', 'worker']) {
  test(`docs/architecture.md describes each room of packages/${name}, and no other`, () => {
    const [, rest = ''] = architecture.split(`**\`packages/${name}\`**`)
    const [table = ''] = rest.split('\n**')
    const described = [...table.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, room = '']) => room)
    const rooms = readdirSync(join(root, 'packages', name, 'src'), { withFileTypes: true })
    assert.equal(
      described.toSorted(),
      rooms
        .filter((entry) => entry.isDirectory())
        .map((entry) => entry.name)
        .sort(),
    )
  })
}

test('docs/architecture.md names only rooms and files that exist', () => {
  const mentions = [
    ...architecture.matchAll(
      /`((?:shared|api|worker|local|console)\/[a-z/-]+)`(?:: ((?:`[a-z-]+`(?:, )?)+))?/g,
    ),
  ]
  assert.ok(mentions.length > 60)
  const paths = mentions.flatMap(([, path = '', files = '']) => {
    const [name = '', ...rest] = path.split('/')
    const room = join('packages', name, 'src', ...rest)
    return [room, ...[...files.matchAll(/`([a-z-]+)`/g)].map(([, file = '']) => join(room, `${file}.ts`))]
  })
  assert.equal(
    paths.filter((path) => !existsSync(join(root, path))),
    [],
  )
})

test.run()
