import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { newApiKey } from '@millrace/api/api-keys.ts'
import { createClient } from '@millrace/client'
import type { Browser } from 'playwright-core'
import * as assert from 'uvu/assert'
import { build } from 'vite'
import { launchChromium, openPage } from '../support/chromium.ts'
import { createPlace, mainStart, type Place } from '../support/started-millrace.ts'
import { suite } from '../support/suite.ts'
import { samplePicture } from '../worker/sample-images.ts'

const test = suite('client and docs', {}, { limitMs: 60_000 })
const root = join(import.meta.dirname, '../..')
const { key, entry } = newApiKey('shop', ['uploads:read', 'uploads:write'])

let place: Place
let millrace: ReturnType<typeof mainStart>
let url: string
let browser: Browser

test.before(async () => {
  place = await createPlace()
  millrace = mainStart(place, ['--port', '0'], { API_KEYS: entry })
  url = new URL(await millrace.ready).origin
  browser = await launchChromium()
})
test.after(async () => {
  await browser?.close()
  millrace.signal('SIGTERM')
  await millrace.ended
  await place.remove()
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
  const script = await bundle()
  const context = await browser.newContext()
  await context.route(`${url}/client.js`, (route) =>
    route.fulfill({ contentType: 'text/javascript', body: script }),
  )
  const { page, errors } = await openPage(context, url)
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

test('shows the routes on a page that keeps to its content security policy', async () => {
  const context = await browser.newContext()
  const { page, errors } = await openPage(context, `${url}/docs`)
  await page.getByText('Announce a file and get what sends it').click({ timeout: 20_000 })
  await page.getByText('harbour.jpg').first().waitFor({ timeout: 20_000 })
  assert.equal(errors, [])
  await context.close()
})

/** The client as a page would load it. */
async function bundle(): Promise<string> {
  const entry = join(root, 'packages/client/src/client.ts')
  const built = await build({
    configFile: false,
    logLevel: 'silent',
    build: { write: false, lib: { entry, formats: ['es'] } },
  })
  const [first] = [built].flat()
  if (!first || !('output' in first)) throw new Error('Vite has built nothing.')
  return first.output[0].code
}

test.run()
