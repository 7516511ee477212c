import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { newApiKey } from '@millrace/api/identity/api-keys.ts'
import { createClient } from '@millrace/client'
import type { Browser, BrowserContext } from 'playwright-core'
import * as assert from 'uvu/assert'
import { build } from 'vite'
import { launchChromium, openPage } from '../support/chromium.ts'
import { createSandbox, type Sandbox, startWithNode } from '../support/start-millrace.ts'
import { suite } from '../support/suite.ts'
import { samplePicture } from '../worker/support/sample-images.ts'

const test = suite('client and docs', {}, { limitMs: 60_000 })
const MiB = 1024 ** 2
const root = join(import.meta.dirname, '../..')
const { key, entry } = newApiKey('shop', ['uploads:read', 'uploads:write'])

let sandbox: Sandbox
let millrace: ReturnType<typeof startWithNode>
let url: string
let browser: Browser

test.before(async () => {
  sandbox = await createSandbox()
  millrace = startWithNode(sandbox, ['--port', '0', '--workers', '1..2', '--speed', '20'], {
    API_KEYS: entry,
    WORKER_SLOTS: '1',
  })
  url = new URL(await millrace.ready).origin
  browser = await launchChromium()
})
test.after(async () => {
  await browser?.close()
  millrace.signal('SIGTERM')
  await millrace.ended
  await sandbox.remove()
})

test("takes a photo all the way with the README's own program", async () => {
  const readme = await readFile(join(root, 'README.md'), 'utf8')
  const [, program = ''] = /```js\n([\s\S]*?)```/.exec(readme) ?? []
  const directory = await mkdtemp(join(tmpdir(), 'millrace-readme-client-'))
  try {
    await writeFile(join(directory, 'photo.jpg'), await samplePicture(1200, 800).jpeg().toBuffer())
    await writeFile(join(directory, 'send.mjs'), program.replace('http://localhost:3000', url))
    await mkdir(join(directory, 'node_modules/@millrace'), { recursive: true })
    await symlink(join(root, 'packages/client'), join(directory, 'node_modules/@millrace/client'))
    const child = spawn(process.execPath, ['send.mjs'], {
      cwd: directory,
      env: { ...process.env, MILLRACE_KEY: key },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let printed = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      printed += text
    })
    const [code] = await once(child, 'close')
    assert.is(code, 0)
    assert.match(printed, /^100 %$/m)
    assert.match(printed, /\/variants\/thumbnail$/m)
  } finally {
    await rm(directory, { recursive: true })
  }
})

test('goes on waiting where the stream of events breaks off', async () => {
  const seen: (string | null)[] = []
  const client = createClient({
    origin: url,
    apiKey: key,
    fetch: async (request) => {
      const response = await fetch(request)
      if (!request.url.endsWith('/events')) return response
      seen.push(request.headers.get('last-event-id'))
      if (seen.length > 1 || !response.body) return response
      // Nothing but the snapshot comes through, then the connection is gone.
      const reader = response.body.getReader()
      let text = ''
      while (!text.includes('data:')) text += Buffer.from((await reader.read()).value ?? []).toString()
      await reader.cancel()
      let isSent = false
      const broken = new ReadableStream({
        pull(controller) {
          if (isSent) controller.error(new TypeError('terminated'))
          else controller.enqueue(Buffer.from(text))
          isSent = true
        },
      })
      return new Response(broken, { headers: response.headers })
    },
  })
  const announced = await client.api.POST('/uploads', {
    body: { filename: 'late.bin', contentType: 'application/x-late', size: 3 },
  })
  assert.ok(announced.data?.transport.kind === 'form')
  const { id, transport } = announced.data
  const states: string[] = []
  const snapshot = Promise.withResolvers<void>()
  const finished = client.waitUntilFinished(id, {
    onChange({ state }) {
      states.push(state)
      snapshot.resolve()
    },
  })
  await snapshot.promise
  const form = new FormData()
  for (const [name, value] of Object.entries(transport.fields)) form.append(name, value)
  form.append('file', new Blob(['abc']))
  assert.ok((await fetch(transport.url, { method: 'POST', body: form })).ok)
  assert.is((await finished).state, 'ready')
  assert.equal([states.at(0), states.at(-1)], ['awaiting', 'ready'])
  assert.equal([seen[0], typeof seen[1]], [null, 'string'])
})

test('sends a large file from a page, and tells the bytes as they leave', async () => {
  const { context, page, errors } = await openPageWith('packages/client/src/client.ts', 'client.js')
  const seen = await page.evaluate(async (address) => {
    const { createClient }: typeof import('@millrace/client') = await import(address)
    const client = createClient()
    const steps: number[] = []
    const file = new File([new Uint8Array(9 * 1024 ** 2)], 'zeros.bin', { type: 'application/x-zeros' })
    const { id } = await client.upload(file, { onProgress: (sent) => steps.push(sent) })
    const { state, size } = await client.waitUntilFinished(id)
    return { state, size, steps }
  }, `${url}/client.js`)
  assert.equal([seen.state, seen.size], ['ready', 9 * 1024 ** 2])
  assert.equal(
    seen.steps.toSorted((a, b) => a - b),
    seen.steps,
  )
  assert.equal([seen.steps.at(0), seen.steps.at(-1)], [0, 9 * 1024 ** 2])
  assert.equal(errors, [])
  await context.close()
})

/** What is used of Uppy in its pages. The tests are checked without the DOM that its own types need. */
type UppyModule = {
  Uppy: new (options: {
    onBeforeFileAdded(file: UppyFile, files: Record<string, UppyFile>): UppyFile | boolean
  }) => UppyInstance
  AwsS3: unknown
  Tus: unknown
}
type UppyFile = {
  id: string
  size: number
  meta: object
  response?: { body: { key: string } }
  uploadURL?: string
}
type UppyInstance = {
  use(plugin: unknown, options: object): UppyInstance
  addFile(file: { name: string; data: Blob }): string
  removeFile(id: string): void
  getFile(id: string): UppyFile
  upload(): Promise<{ failed: UppyFile[]; successful: UppyFile[] }>
  retryAll(): Promise<{ failed: UppyFile[]; successful: UppyFile[] }>
}

/**
 * Opens a page with an Uppy that is set up as docs/uppy.md says, as `uppy` of the handle.
 *
 * @param options of `@uppy/aws-s3`, besides that files of more than 5 MiB go up in parts
 */
async function openUppy(entry: string, options: object) {
  const opened = await openPageWith(entry, 'uppy.js')
  const uppy = await opened.page.evaluateHandle(
    async ([address, options]) => {
      const { Uppy, AwsS3 }: UppyModule = await import(address)
      // Files that are sent at once are to be of one session.
      await fetch('/session')
      return new Uppy({
        onBeforeFileAdded: (file, files) =>
          !(file.id in files) && { ...file, meta: { ...file.meta, size: file.size } },
      }).use(AwsS3, { ...options, shouldUseMultipart: (file: UppyFile) => file.size > 5 * 1024 ** 2 })
    },
    [`${url}/uppy.js`, options] as const,
  )
  const add = (name: string, size: number) =>
    uppy.evaluate((uppy, { name, size }) => uppy.addFile({ name, data: new Blob([new Uint8Array(size)]) }), {
      name,
      size,
    })
  return { ...opened, uppy, add, millrace: clientOf(opened.context) }
}

/** A client for the session of a browser's context. */
function clientOf(context: BrowserContext) {
  return createClient({
    origin: url,
    fetch: async (request) => {
      const cookies = await context.cookies(url)
      request.headers.set('cookie', cookies.map(({ name, value }) => `${name}=${value}`).join('; '))
      return fetch(request)
    },
  })
}

/** The ids of uploads whose keys Uppy was told. */
const idsOf = (files: UppyFile[]) => files.map(({ response }) => response?.body.key.split('/').at(-1) ?? '')

for (const [version, entry, options] of [
  [5, 'tests-uppy-5/uppy.js', { endpoint: '/uppy' }],
  [6, 'tests/browser/uppy-6.js', { companionEndpoint: '/uppy' }],
] as const) {
  test(`takes files from Uppy ${version}, as a form and in parts`, async () => {
    const { context, errors, uppy, add, millrace } = await openUppy(entry, options)
    await add('note.txt', 5)
    await add('zeros.bin', 5 * MiB + 1)
    const { failed, successful } = await uppy.evaluate((uppy) => uppy.upload())
    assert.equal([failed.length, successful.length], [0, 2])
    const uploads = await Promise.all(idsOf(successful).map((id) => millrace.waitUntilFinished(id)))
    assert.equal(uploads.map(({ filename, size, state }) => [filename, size, state]).toSorted(), [
      ['note.txt', 5, 'ready'],
      ['zeros.bin', 5 * MiB + 1, 'ready'],
    ])
    assert.equal(errors, [])
    await context.close()
  })
}

test('goes on in Uppy with what S3 does not have yet, and erases what Uppy cancels', async () => {
  const { context, page, uppy, add, millrace } = await openUppy('tests/browser/uppy-6.js', {
    companionEndpoint: '/uppy',
  })
  const parts: string[] = []
  let second: 'refused' | 'sent' | 'held' = 'refused'
  await page.route(
    ({ searchParams }) => searchParams.has('X-Amz-Signature') && searchParams.has('partNumber'),
    (route, request) => {
      if (request.method() !== 'PUT') return route.continue()
      const part = new URL(request.url()).searchParams.get('partNumber') ?? ''
      parts.push(part)
      if (part === '1' || second === 'sent') return route.continue()
      if (second === 'held') return
      return route.fulfill({ status: 400, headers: { 'access-control-allow-origin': url } })
    },
  )
  await add('zeros.bin', 5 * MiB + 1)
  assert.is((await uppy.evaluate((uppy) => uppy.upload())).failed.length, 1)
  second = 'sent'
  const { successful } = await uppy.evaluate((uppy) => uppy.retryAll())
  assert.equal(parts, ['1', '2', '2'])
  const [id = ''] = idsOf(successful)
  assert.is((await millrace.waitUntilFinished(id)).state, 'ready')

  second = 'held'
  const file = await add('more zeros.bin', 5 * MiB + 1)
  const held = page.waitForRequest(
    (request) => request.method() === 'PUT' && request.url().includes('partNumber=2'),
  )
  await uppy.evaluate((uppy) => {
    uppy.upload()
  })
  await held
  const erased = page.waitForResponse((response) => response.request().method() === 'DELETE')
  await uppy.evaluate((uppy, file) => uppy.removeFile(file), file)
  assert.is((await erased).status(), 200)
  const { data } = await millrace.api.GET('/uploads', { params: { query: { limit: 10 } } })
  assert.equal(
    data?.uploads.map((upload) => upload.id),
    [id],
  )
  await context.close()
})

test('takes files from Uppy by tus, in one request and in several', async () => {
  const { context, page, errors } = await openPageWith('tests/browser/uppy-6.js', 'uppy.js')
  const urls = await page.evaluate(async (address) => {
    const { Uppy, Tus }: UppyModule = await import(address)
    await fetch('/session')
    const uppy = new Uppy({ onBeforeFileAdded: () => true }).use(Tus, {
      endpoint: '/tus/',
      chunkSize: 2 ** 20,
    })
    uppy.addFile({ name: 'note.txt', data: new Blob([new Uint8Array(5)], { type: 'text/plain' }) })
    uppy.addFile({ name: 'zeros.bin', data: new Blob([new Uint8Array(3 * 2 ** 20 + 1)]) })
    const { failed, successful } = await uppy.upload()
    return [...failed, ...successful].map(({ uploadURL }) => uploadURL ?? '')
  }, `${url}/uppy.js`)
  const millrace = clientOf(context)
  const ids = urls.map((address) => address.split('/').at(-1) ?? '')
  const uploads = await Promise.all(ids.map((id) => millrace.waitUntilFinished(id)))
  assert.equal(
    uploads.map(({ filename, size, state, metadata }) => [filename, size, state, metadata]).toSorted(),
    [
      ['note.txt', 5, 'ready', undefined],
      ['zeros.bin', 3 * MiB + 1, 'ready', undefined],
    ],
  )
  assert.equal(errors, [])
  await context.close()
})

test('shows the routes on a page that keeps to its content security policy', async () => {
  const context = await browser.newContext()
  const { page, errors } = await openPage(context, `${url}/docs`)
  await page.getByText('Announce a file and get what sends it').click({ timeout: 20_000 })
  await page.getByText('harbour.jpg').first().waitFor({ timeout: 20_000 })
  assert.equal(errors, [])
  await context.close()
})

/**
 * Opens the console's page, with its content security policy, and a module at a path of its own for it.
 *
 * @param entry from the root of the repository
 */
async function openPageWith(entry: string, name: string) {
  const built = await build({
    configFile: false,
    logLevel: 'silent',
    define: { 'process.env.NODE_ENV': '"production"' },
    build: { write: false, minify: false, lib: { entry: join(root, entry), formats: ['es'] } },
  })
  const [first] = [built].flat()
  if (!first || !('output' in first)) throw new Error('Vite has built nothing.')
  const body = first.output[0].code
  const context = await browser.newContext()
  await context.route(`${url}/${name}`, (route) => route.fulfill({ contentType: 'text/javascript', body }))
  return { context, ...(await openPage(context, url)) }
}

test('shows the fleet, and what the autoscaler makes of a burst, live', async () => {
  const context = await browser.newContext()
  try {
    const { page, errors } = await openPage(context, new URL('/fleet', url).href)
    for (const id of ['api-1', 'worker-1']) await page.getByRole('rowheader', { name: id }).waitFor()
    const photo = await samplePicture(1600, 1200).jpeg().toBuffer()
    const send = () =>
      context.request.post(new URL('/upload?filename=a.jpg', url).href, {
        data: photo,
        headers: { 'content-type': 'image/jpeg' },
      })
    const answers = await Promise.all(Array.from({ length: 15 }, send))
    assert.ok(answers.every((answer) => answer.ok()))
    const decision = page.getByRole('listitem').filter({ hasText: 'Workers 1 → 2' }).first()
    assert.match((await decision.textContent()) ?? '', /(Load|Demand) .* is (at least|above)/)
    await page.getByRole('rowheader', { name: 'worker-2' }).waitFor()
    await page.getByText('2 workers of 1 to 2').waitFor()
    assert.ok(await page.locator('.fleet-chart rect').count())
    assert.equal(errors, [])
  } finally {
    await context.close()
  }
})

test.run()
