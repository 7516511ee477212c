import { execFile } from 'node:child_process'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import * as assert from 'uvu/assert'
import { suite } from '../support/suite.ts'

type Violation = { rule: string; from: string; to: string }
/** Files by path, and the one violation that they contain: rule, importing file, imported file. */
type Case = { files: Record<string, string>; violation: [rule: string, from: string, to: string] }

const root = join(import.meta.dirname, '../..')
const { scripts }: { scripts: Record<'check' | 'layers', string> } = JSON.parse(
  readFileSync(join(root, 'package.json'), 'utf8'),
)

/** Runs an installed program. `code` is its exit code. */
function run(program: string, parameters: string[], cwd: string): Promise<{ code: number; output: string }> {
  return new Promise((resolve, reject) => {
    execFile(
      join(root, 'node_modules/.bin', program),
      parameters,
      { cwd, maxBuffer: 64 * 1024 * 1024 },
      (error, output) => {
        if (!error) resolve({ code: 0, output })
        else if (typeof error.code === 'number') resolve({ code: error.code, output })
        else reject(error)
      },
    )
  })
}

/** Runs the command of `npm run layers`. */
function checkLayers(directory: string, ...options: string[]) {
  const [program = '', ...paths] = scripts.layers.split(' ')
  return run(program, [...options, ...paths], directory)
}

/** Returns the violations that the command has printed. Those of a circle are on lines of their own. */
function readViolations(output: string): Violation[] {
  return Array.from(
    output.matchAll(/^ *error (\S+): (\S+) →\s+(\S+)/gm),
    ([, rule = '', from = '', to = '']) => ({
      rule,
      from,
      to,
    }),
  )
}

/** A small tree that keeps all rules. */
const sound = {
  'packages/shared/package.json': '{ "name": "@millrace/shared", "exports": { "./*": "./src/*" } }',
  'packages/worker/package.json': '{ "name": "@millrace/worker", "exports": { "./*": "./src/*" } }',
  'packages/shared/src/service/log.ts': 'export type Log = string\nexport const log: Log = ""\n',
  'packages/shared/src/ledger/keys.ts':
    "import type { Log } from '../service/log.ts'\nexport type Key = Log\n",
  'packages/worker/src/images/render.ts': 'export type Render = string\nexport const render = 1\n',
  'packages/worker/src/main.ts':
    "import { env } from 'node:process'\nimport { render } from './images/render.ts'\nexport default [env, render]\n",
  'packages/api/src/requests/problem.ts':
    "import { log } from '@millrace/shared/service/log.ts'\nexport const problem = log\n",
  'packages/api/src/uploads/start.ts':
    "import { problem } from '../requests/problem.ts'\nexport type Start = string\nexport const start = problem\n",
  'packages/api/src/app.ts': "import { start } from './uploads/start.ts'\nexport const app = start\n",
  'stacks/bucket.ts':
    "import type { Key } from '@millrace/shared/ledger/keys.ts'\nexport type Prefix = Key\n",
  'sst.config.ts': "import('./stacks/bucket.ts')\n",
  'examples/album/server.ts':
    "import { createClient } from '@millrace/client'\nexport default createClient\n",
  'packages/client/package.json': '{ "name": "@millrace/client", "exports": { ".": "./src/client.ts" } }',
  'packages/client/src/client.ts': 'export const createClient = 1\n',
  'bench/run.ts': "import { app } from '../packages/api/src/app.ts'\nexport default app\n",
  'tests/all.test.ts':
    "import { app } from '../packages/api/src/app.ts'\nimport { render } from '@millrace/worker/images/render.ts'\nexport default [app, render]\n",
}

const cases: Record<string, Case> = {
  'a room may not import a higher room': {
    files: {
      'packages/api/src/http/a.ts': "import { start } from '../uploads/start.ts'\nexport default start\n",
    },
    violation: ['room-api-http', 'packages/api/src/http/a.ts', 'packages/api/src/uploads/start.ts'],
  },
  'a room may not import a type from a higher room': {
    files: {
      'packages/api/src/http/b.ts':
        "import type { Start } from '../uploads/start.ts'\nexport type B = Start\n",
    },
    violation: ['room-api-http', 'packages/api/src/http/b.ts', 'packages/api/src/uploads/start.ts'],
  },
  'a room may not import a higher room of its package by name': {
    files: {
      'packages/shared/src/service/c.ts':
        "export type { Key } from '@millrace/shared/ledger/keys.ts'\nexport default 1\n",
    },
    violation: [
      'room-shared-service',
      'packages/shared/src/service/c.ts',
      'packages/shared/src/ledger/keys.ts',
    ],
  },
  'a room may not import app.ts': {
    files: { 'packages/api/src/fleet/d.ts': "import { app } from '../app.ts'\nexport default app\n" },
    violation: ['room-api-fleet', 'packages/api/src/fleet/d.ts', 'packages/api/src/app.ts'],
  },
  'a tier may not import the other tier': {
    files: {
      'packages/api/src/uploads/e.ts':
        "import { render } from '@millrace/worker/images/render.ts'\nexport default render\n",
    },
    violation: ['package-api', 'packages/api/src/uploads/e.ts', 'packages/worker/src/images/render.ts'],
  },
  'a tier may not load the other tier with import()': {
    files: {
      'packages/api/src/uploads/g.ts':
        "export const load = () => import('@millrace/worker/images/render.ts')\n",
    },
    violation: ['package-api', 'packages/api/src/uploads/g.ts', 'packages/worker/src/images/render.ts'],
  },
  'shared may not import a tier': {
    files: {
      'packages/shared/src/fleet/h.ts':
        "import { render } from '@millrace/worker/images/render.ts'\nexport default render\n",
    },
    violation: ['package-shared', 'packages/shared/src/fleet/h.ts', 'packages/worker/src/images/render.ts'],
  },
  'local-s3 may not import shared': {
    files: {
      'packages/local-s3/src/storage/i.ts':
        "import { log } from '@millrace/shared/service/log.ts'\nexport default log\n",
    },
    violation: [
      'package-local-s3',
      'packages/local-s3/src/storage/i.ts',
      'packages/shared/src/service/log.ts',
    ],
  },
  'a package may not import a test': {
    files: {
      'packages/api/src/j.ts': "import test from '../../../tests/all.test.ts'\nexport default test\n",
    },
    violation: ['product-imports-setup', 'packages/api/src/j.ts', 'tests/all.test.ts'],
  },
  'a package may not import an example': {
    files: {
      'packages/console/src/x.ts':
        "import server from '../../../examples/album/server.ts'\nexport default server\n",
    },
    violation: ['product-imports-setup', 'packages/console/src/x.ts', 'examples/album/server.ts'],
  },
  'an example may import no package but the client': {
    files: {
      'examples/album/y.ts': "import { log } from '@millrace/shared/service/log.ts'\nexport default log\n",
    },
    violation: ['example', 'examples/album/y.ts', 'packages/shared/src/service/log.ts'],
  },
  'a package may not import the definition of the cloud': {
    files: {
      'packages/api/src/k.ts':
        "import type { Prefix } from '../../../stacks/bucket.ts'\nexport type K = Prefix\n",
    },
    violation: ['product-imports-setup', 'packages/api/src/k.ts', 'stacks/bucket.ts'],
  },
  'the definition of the cloud may not import a tier': {
    files: { 'stacks/l.ts': "import { app } from '../packages/api/src/app.ts'\nexport default app\n" },
    violation: ['stacks', 'stacks/l.ts', 'packages/api/src/app.ts'],
  },
  'a package may not import SST': {
    files: {
      'node_modules/sst/package.json': '{ "name": "sst", "exports": "./sst.js" }',
      'node_modules/sst/sst.js': 'export default 1\n',
      'packages/api/src/m.ts': "import sst from 'sst'\nexport default sst\n",
    },
    violation: ['sst', 'packages/api/src/m.ts', 'node_modules/sst/sst.js'],
  },
  'a room may not import the environment from node:process': {
    files: { 'packages/api/src/http/n.ts': "import { env } from 'node:process'\nexport default env\n" },
    violation: ['environment', 'packages/api/src/http/n.ts', 'process'],
  },
  'files may not import each other in a circle': {
    files: {
      'packages/api/src/uploads/o.ts': "import type { P } from './p.ts'\nexport type O = P | string\n",
      'packages/api/src/uploads/p.ts': "import type { O } from './o.ts'\nexport type P = O | number\n",
    },
    violation: ['circle', 'packages/api/src/uploads/o.ts', 'packages/api/src/uploads/p.ts'],
  },
  'a room without an entry may not import': {
    files: {
      'packages/api/src/new-room/q.ts':
        "import { problem } from '../requests/problem.ts'\nexport default problem\n",
    },
    violation: ['unlisted', 'packages/api/src/new-room/q.ts', 'packages/api/src/requests/problem.ts'],
  },
  'a room without an entry may not be imported': {
    files: {
      'packages/api/src/other-room/r.ts': 'export const r = 1\n',
      'packages/api/src/r.ts': "import { r } from './other-room/r.ts'\nexport default r\n",
    },
    violation: ['imports-unlisted', 'packages/api/src/r.ts', 'packages/api/src/other-room/r.ts'],
  },
  'an import that does not resolve fails': {
    files: { 'packages/api/src/http/s.ts': "import s from './missing.ts'\nexport default s\n" },
    violation: ['unresolved', 'packages/api/src/http/s.ts', './missing.ts'],
  },
}

const test = suite('layers', { planted: '', code: 0, output: '' }, { limitMs: 120_000 })

test.before(async (context) => {
  context.planted = realpathSync(mkdtempSync(join(tmpdir(), 'millrace-layers-')))
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(context.planted, path)), { recursive: true })
    writeFileSync(join(context.planted, path), text)
  }
  for (const files of [sound, ...Object.values(cases).map(({ files }) => files)]) {
    for (const [path, text] of Object.entries(files)) write(path, text)
  }
  mkdirSync(join(context.planted, 'node_modules/@millrace'))
  for (const name of ['shared', 'worker', 'client']) {
    symlinkSync(`../../packages/${name}`, join(context.planted, 'node_modules/@millrace', name))
  }
  for (const file of ['biome.json', '.gitignore']) cpSync(join(root, file), join(context.planted, file))
  Object.assign(
    context,
    await checkLayers(context.planted, '--config', join(root, '.dependency-cruiser.mjs')),
  )
})

test.after(({ planted }) => {
  rmSync(planted, { recursive: true })
})

for (const [name, { violation }] of Object.entries(cases)) {
  const [rule, from, to] = violation
  test(name, ({ output }) => {
    const found = readViolations(output).filter((candidate) => candidate.from === from)
    assert.equal(found, [{ rule, from, to }])
  })
}

test('imports that keep the layers are no violations', ({ output }) => {
  const expected = Object.values(cases).map(({ violation: [, from] }) => from)
  assert.equal(
    readViolations(output)
      .map(({ from }) => from)
      .sort(),
    expected.sort(),
  )
})

test('a violation fails the command', ({ code, output }) => {
  assert.is(code, Object.keys(cases).length, output)
})

test('this repository keeps its layers', async () => {
  const { code, output } = await checkLayers(root)
  assert.is(code, 0, output)
  const modules = Number(/\((\d+) modules/.exec(output)?.[1])
  assert.ok(modules > 500, `only ${modules} modules were read`)
})

test('npm run check includes the layers', () => {
  assert.match(scripts.check, ' && npm run layers --silent && ')
})

test('only main.ts, config.ts and set-up may read process.env', async ({ planted }) => {
  const allowed = [
    'packages/api/src/main.ts',
    'packages/api/src/config.ts',
    'packages/local/src/setup/a.ts',
    'stacks/settings.ts',
    'tests/support/a.ts',
    'bench/a.ts',
  ]
  const refused = [
    'packages/api/src/app.ts',
    'packages/api/src/http/environment.ts',
    'packages/api/src/http/main.ts',
    'packages/shared/src/service/environment.ts',
    'packages/console/src/environment.ts',
  ]
  for (const path of [...allowed, ...refused]) {
    mkdirSync(dirname(join(planted, path)), { recursive: true })
    writeFileSync(join(planted, path), "console.log(process.env['HOME'])\n")
  }
  const report = ['--only=style/noProcessEnv', '--reporter=github', '--max-diagnostics=none']
  const { output } = await run('biome', ['lint', ...report, '.'], planted)
  const failed = Array.from(output.matchAll(/^::error .*,file=([^,]+),/gm), ([, path = '']) =>
    relative(planted, path),
  )
  assert.equal(failed.toSorted(), refused.toSorted())
})

test.run()
