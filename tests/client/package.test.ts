// A process of its own: Vite sets NODE_ENV, and this file takes as long as all others of the client.

import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { createClient } from '@millrace/client'
import { signWebhook } from '@millrace/worker/webhooks/sign-webhook.ts'
import { build as buildWithEsbuild } from 'esbuild'
import * as assert from 'uvu/assert'
import { build as buildWithVite } from 'vite'
import { testContent } from '../../packages/api/src/webhooks/test-content.ts'
import { type ApiWithWorker, startApiWithWorker } from '../support/api-with-worker.ts'
import { provideOldNode } from '../support/old-node.ts'
import { suite } from '../support/suite.ts'
import { samplePicture } from '../worker/support/sample-images.ts'
import { installPackedClient, type PackedClient } from './support/packed-client.ts'

/** These tests come first, so that no API and no worker wait while compilers and bundlers run. */
const testInUse = suite('packed client in use', {}, { limitMs: 120_000 })
const test = suite('packed client', {}, { limitMs: 120_000 })
const run = promisify(execFile)
const root = join(import.meta.dirname, '../..')
const support = join(import.meta.dirname, 'support')
const { key, entry } = newApiKey('shop', ['uploads:read', 'uploads:write', 'act-as', 'tokens'])

let client: PackedClient
let system: ApiWithWorker
let origin: string

testInUse.before(async () => {
  system = await startApiWithWorker({ API_KEYS: entry })
  origin = system.url
  // Types that a consumer of the hook has installed.
  client = await installPackedClient(['@types/node', '@types/react', 'csstype', 'react', 'undici-types'])
})
testInUse.after(async () => {
  await system.close()
})
test.after(async () => {
  await client?.remove()
})

/** Runs a program in the folder with the package, and returns what it printed. Its own conditions: none. */
async function runProgram(node: string, parameters: string[], environment: NodeJS.ProcessEnv = {}) {
  const { NODE_OPTIONS: _, NODE_COMPILE_CACHE: __, ...inherited } = process.env
  const { stdout } = await run(node, parameters, {
    cwd: client.folder,
    env: { ...inherited, ...environment },
  })
  return stdout
}

/** Writes a program of a page of the documentation into the folder, for this system. */
async function writeExample(page: string, name: string): Promise<void> {
  const text = await readFile(join(root, page), 'utf8')
  const [, program] = new RegExp(`\`\`\`js\\n(// ${name}\\n[\\s\\S]*?)\`\`\``).exec(text) ?? []
  if (program === undefined) throw new Error(`${page} has no program ${name}.`)
  const local = program.replace(/https:\/\/media\.example\.com|http:\/\/localhost:3000/, origin)
  await writeFile(join(client.folder, name), local)
}

test('the tarball has the compiled package, its source, licence and readme, and nothing else', async () => {
  const unexpected = client.files.filter(
    (path) => !/^(dist\/.+\.(js|d\.ts)(\.map)?|src\/.+\.ts|LICENSE|README\.md|package\.json)$/.test(path),
  )
  assert.equal(unexpected, [])
  for (const path of ['LICENSE', 'README.md', 'dist/client.js', 'dist/client.d.ts']) {
    assert.ok(client.files.includes(path), path)
  }
  const licences = ['LICENSE', 'packages/client/LICENSE'].map((path) => readFile(join(root, path), 'utf8'))
  const [ours, packed] = await Promise.all(licences)
  assert.is(packed, ours)
})

test('publint and attw find nothing wrong with the tarball', async () => {
  const lint = await run(process.execPath, [
    join(root, 'node_modules/publint/src/cli.js'),
    'run',
    client.tarball,
    '--strict',
  ])
  assert.match(lint.stdout, 'All good!')
  await run(process.execPath, [
    join(root, 'node_modules/@arethetypeswrong/cli/dist/index.js'),
    client.tarball,
    '--profile',
    'esm-only',
  ])
})

const node20 = await provideOldNode(20)
for (const [version, node] of [
  [20, node20],
  [24, process.execPath],
] as const) {
  const name = `Node ${version} sends, resumes, follows, lists and erases uploads, and verifies webhooks`
  if (node === undefined) {
    testInUse.skip(name, 'this machine has no Node 20, and there is none to download for it')
    continue
  }
  testInUse(name, async () => {
    await cp(join(support, 'use-package.mjs'), join(client.folder, 'use-package.mjs'))
    const printed = await runProgram(node, ['use-package.mjs', origin, key])
    assert.match(printed, new RegExp(`^ok v${version}\\.`))
  })
}

testInUse('the programs of both readmes send a photo and print its variants', async () => {
  await writeFile(join(client.folder, 'photo.jpg'), await samplePicture(1200, 800).jpeg().toBuffer())
  for (const [page, name, expected] of [
    ['README.md', 'client.mjs', /^100 %\n(.*\n)*\/uploads\/.*\/variants\/thumbnail\n/m],
    ['packages/client/README.md', 'upload.mjs', /^100 %\nready .*thumbnail.*\nphoto\.jpg\n/m],
  ] as const) {
    await writeExample(page, name)
    assert.match(await runProgram(process.execPath, [name], { MILLRACE_KEY: key }), expected)
  }
})

testInUse("the readme's page sends a file with a token of its backend", async () => {
  await writeExample('packages/client/README.md', 'page.mjs')
  const scopes: ('uploads:read' | 'uploads:write')[] = ['uploads:read', 'uploads:write']
  const { data } = await createClient({ origin, apiKey: key }).api.POST('/tokens', {
    body: { user: 'ada', expiresIn: 600, scopes },
  })
  await writeFile(
    join(client.folder, 'open-page.mjs'),
    `const send = globalThis.fetch
     globalThis.fetch = (...request) => String(request[0]) === 'https://app.example.com/media-token'
       ? new Response(${JSON.stringify(data?.token)})
       : send(...request)
     const { sendFile } = await import('./page.mjs')
     const { state, user } = await sendFile(new File(['hi'], 'a.txt'), () => {})
     console.log(state, user)`,
  )
  assert.is(await runProgram(process.execPath, ['open-page.mjs']), 'ready ada\n')
})

testInUse("the readme's receiver accepts a signed event and refuses others", async () => {
  await writeExample('packages/client/README.md', 'receiver.mjs')
  const secret = 'whsec_c2VjcmV0'
  const receiver = spawn(process.execPath, ['receiver.mjs'], {
    cwd: client.folder,
    env: { ...process.env, MILLRACE_WEBHOOK_SECRET: secret, PORT: '0' },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  try {
    const [ready] = await once(receiver.stdout.setEncoding('utf8'), 'data')
    const url = `http://127.0.0.1:${String(ready).replace('ready ', '').trim()}`
    const body = Buffer.from(JSON.stringify(testContent('upload.ready')))
    const headers = signWebhook([{ secret, createdAt: '' }], { id: 'evt_1', body })
    const printed = once(receiver.stdout, 'data')
    assert.is((await fetch(url, { method: 'POST', headers, body })).status, 204)
    assert.equal(await printed, ['harbour.jpg 1\n'])
    assert.is((await fetch(url, { method: 'POST', headers, body: `${body} ` })).status, 401)
    assert.is((await fetch(url, { method: 'POST', body })).status, 401)
  } finally {
    receiver.kill()
    await once(receiver, 'close')
  }
})

test('Vite and esbuild bundle it for browsers, without what the page does not use', async () => {
  const entry = join(client.folder, 'bundle-entry.js')
  const bundle = async (program: string) => {
    await writeFile(entry, program)
    const vite = await buildWithVite({
      root: client.folder,
      configFile: false,
      logLevel: 'silent',
      build: { write: false, minify: false, lib: { entry, formats: ['es'] } },
    })
    const [first] = [vite].flat()
    if (!first || !('output' in first)) throw new Error('Vite returned no output.')
    const { outputFiles, warnings } = await buildWithEsbuild({
      entryPoints: [entry],
      bundle: true,
      format: 'esm',
      platform: 'browser',
      target: ['chrome116', 'firefox124', 'safari17.4'],
      write: false,
      logLevel: 'silent',
    })
    assert.equal(warnings, [])
    return [first.output[0].code, outputFiles[0]?.text ?? '']
  }
  for (const code of await bundle("export { createClient } from '@millrace/client'")) {
    assert.match(code, 'createClient')
    // Of webhooks, which only backends receive.
    assert.not.match(code, 'whsec_')
    assert.not.match(code, /\bnode:|\brequire\(/)
  }
  for (const code of await bundle("export { verifyWebhook } from '@millrace/client'")) {
    assert.match(code, 'whsec_')
    assert.not.match(code, /\bnode:/)
  }
})

const compilers = {
  '5.9': { path: join(root, 'packages/client/node_modules/typescript/bin/tsc'), options: [] },
  // Several checkers would check much of the libraries' types once each.
  '7.0': { path: join(root, 'node_modules/typescript/bin/tsc'), options: ['--checkers', '1'] },
}
const dom = { lib: ['es2022', 'dom', 'dom.iterable'], types: [] }
const node = { lib: ['es2022'], types: ['node'] }
const bundler = { module: 'esnext', moduleResolution: 'bundler' }
const nodenext = { module: 'nodenext', moduleResolution: 'nodenext' }
for (const [version, environments] of [
  // It takes ten times as long, so it checks only one of them.
  ['5.9', { 'nodenext, DOM': { ...nodenext, ...dom } }],
  [
    '7.0',
    {
      'bundler, DOM': { ...bundler, ...dom },
      'nodenext, Node': { ...nodenext, ...node },
    },
  ],
] as const) {
  test(`TypeScript ${version} checks a consumer and all declarations, with the types of the DOM or of Node`, async () => {
    const { path, options: ownOptions } = compilers[version]
    const { version: installed } = JSON.parse(await readFile(join(dirname(path), '../package.json'), 'utf8'))
    assert.match(installed, new RegExp(`^${version.replace('.', '\\.')}\\.`))
    await cp(join(support, 'package-consumer.ts'), join(client.folder, 'package-consumer.ts'))
    for (const [name, options] of Object.entries(environments)) {
      // skipLibCheck is off: what passes without it passes with it. Only TypeScript's own declarations are not checked, to
      // which ours add nothing.
      const compilerOptions = {
        ...options,
        target: 'es2022',
        strict: true,
        exactOptionalPropertyTypes: true,
        noEmit: true,
        skipLibCheck: false,
        skipDefaultLibCheck: true,
      }
      const project = join(client.folder, 'tsconfig.json')
      await writeFile(project, JSON.stringify({ compilerOptions, files: ['package-consumer.ts'] }))
      const checked = await run(process.execPath, [path, '-p', project, ...ownOptions]).catch(
        (error) => error,
      )
      assert.is(checked.stdout, '', name)
    }
  })
}

testInUse.run()
test.run()
