import { type ChildProcess, spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createClient } from '@millrace/client'
import type { UploadItem, UploadListView } from '@millrace/client/react'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import { bundleForBrowser } from '../support/browser-bundle.ts'
import { openBrowser, openPage, visit } from '../support/chromium.ts'
import { createSandbox, type Sandbox } from '../support/start-millrace.ts'
import { suite } from '../support/suite.ts'
import { samplePicture } from '../worker/support/sample-images.ts'

const test = suite('example: photo album', {}, { limitMs: 120_000 })
const root = join(import.meta.dirname, '../..')

let sandbox: Sandbox
let album: Awaited<ReturnType<typeof startAlbum>>
let browser: Browser
let ada: Awaited<ReturnType<typeof signIn>>

test.before(async () => {
  sandbox = await createSandbox()
  album = await startAlbum()
  browser = await openBrowser()
  ada = await signIn('Ada')
})
test.after(async () => {
  await browser?.close()
  await album?.stop()
  await sandbox.remove()
})

/** Returns a port that is free at the moment. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address ? address.port : 0
      server.close((error) => (error ? reject(error) : resolve(port)))
    })
  })
}

/** Runs the commands of the example's README, with ports and a directory of the test. */
async function startAlbum() {
  const readme = await readFile(join(root, 'examples/photo-album/README.md'), 'utf8')
  const [, commands = ''] = /```sh\n([\s\S]*?)\n```/.exec(readme) ?? []
  assert.match(commands, /^cd examples\/photo-album\nnpm start$/)
  const [port, millracePort] = [await freePort(), await freePort()]
  const options = `--port ${port} --millrace-port ${millracePort} --data '${sandbox.directory}'`
  const [name = '', value] = sandbox.mark.split('=')
  const { REDIS_URL: _redis, ...inherited } = process.env
  const child: ChildProcess = spawn('sh', ['-c', `${commands} -- ${options}`], {
    cwd: root,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...inherited, [name]: value },
  })
  const ready = Promise.withResolvers<{ origin: string; millrace: string }>()
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output += text
      const [, origin, millrace] = /album is ready: (\S+)\nMillrace: (\S+)\n/.exec(output) ?? []
      if (origin && millrace) ready.resolve({ origin, millrace })
    })
  }
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  ended.then(() => ready.reject(new Error(`The album has exited.\n${output}`)))
  return {
    ...(await ready.promise),
    /** Ends it as Ctrl-C in a terminal does: the signal goes to all of its processes. */
    stop() {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGINT')
      return ended
    },
  }
}

/** Opens the album in a browser of its own, and signs in. */
async function signIn(name: string) {
  const context = await browser.newContext()
  const { page, errors } = await openPage(context, album.origin)
  await page.getByLabel('Your name').fill(name)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('heading', { name: `Photos of ${name}` }).waitFor()
  return { context, page, errors }
}

/** The line of a file among those that are being sent. */
const lineOf = (page: Page, name: string) =>
  page.getByRole('region', { name: 'Add photos' }).getByRole('listitem').filter({ hasText: name })

const photosOf = (page: Page) => page.getByRole('region', { name: 'Album' }).getByRole('img')

async function choose(page: Page, name: string, buffer: Buffer) {
  await page.getByLabel('Choose photos').setInputFiles({ name, mimeType: 'image/jpeg', buffer })
}

test('a user sends a photo from the page to another origin, and a webhook adds it to the album', async () => {
  const { page, errors } = ada
  const hosts = new Set<string>()
  page.on('request', (request) => {
    if (['POST', 'PUT'].includes(request.method())) hosts.add(new URL(request.url()).origin)
  })
  await page.getByText('No photos yet.').waitFor()
  await choose(page, 'harbour.jpg', await samplePicture(1200, 800).jpeg().toBuffer())
  await lineOf(page, 'harbour.jpg').getByText('ready in 4 sizes').waitFor()
  const image = photosOf(page).and(page.getByAltText('harbour.jpg'))
  await image.waitFor()
  // The album's backend checks whose photo it is, and redirects to S3.
  const link = await page.getByRole('link', { name: 'harbour.jpg' }).getAttribute('href')
  const large = await page.request.get(new URL(link ?? '', album.origin).href)
  assert.is(large.headers()['content-type'], 'image/webp')
  assert.ok(hosts.has(album.origin) && hosts.has(album.millrace) && hosts.size === 3, [...hosts].join())
  assert.equal(errors, [])
})

test('another user sees nothing of it, and a visitor sees nothing at all', async () => {
  const { context, page, errors } = await signIn('Linus')
  await page.getByText('No photos yet.').waitFor()
  assert.is(await photosOf(page).count(), 0)
  const link = await ada.page.getByRole('link', { name: 'harbour.jpg' }).getAttribute('href')
  const photo = new URL(link ?? '', album.origin).href
  assert.is((await ada.page.request.get(photo)).status(), 200)
  assert.is((await page.request.get(photo)).status(), 404)
  assert.is(
    (await page.request.delete(photo.replace('/photos/', '/api/photos/').replace('/w1920', ''))).status(),
    404,
  )
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByLabel('Your name').waitFor()
  assert.is((await page.request.get(photo)).status(), 401)
  const refused = await page.request.post(`${album.origin}/api/uploads?route=photo`, {
    data: { files: [{ filename: 'a.jpg', contentType: 'image/jpeg', size: 1 }] },
  })
  assert.equal([refused.status(), (await refused.json()).code], [401, 'refused'])
  assert.equal(errors, [])
  await context.close()
})

test('a damaged file is rejected with a sentence, and does not come into the album', async () => {
  const { page } = ada
  const photo = await samplePicture(600, 400).jpeg().toBuffer()
  await choose(page, 'torn.jpg', photo.subarray(0, 300))
  const line = lineOf(page, 'torn.jpg')
  await line.getByRole('button', { name: 'Dismiss' }).waitFor()
  await line.getByText('The JPEG is incomplete').waitFor()
  await line.getByRole('button', { name: 'Dismiss' }).click()
  await line.waitFor({ state: 'detached' })
  assert.is(await photosOf(page).count(), 1)
})

test('a photo that its user deletes is gone from the album and from Millrace', async () => {
  const { page } = ada
  const response = await page.request.post(`${album.origin}/api/uploads?route=photo`, {
    data: { files: [{ filename: 'a.jpg', contentType: 'image/jpeg', size: 1 }] },
  })
  const { origin, token }: { origin: string; token: string } = await response.json()
  const stored = async () => {
    const { data } = await createClient({ origin, getToken: () => token }).api.GET('/uploads')
    return data?.uploads.map(({ filename }) => filename)
  }
  assert.equal(await stored(), ['torn.jpg', 'harbour.jpg'])
  await page.getByRole('button', { name: 'Delete harbour.jpg' }).click()
  await page.getByText('No photos yet.').waitFor()
  assert.equal(await stored(), ['torn.jpg'])
})

/** What tests/browser/react-page.js exports. */
type ReactPage = {
  mount(options: { millrace?: { origin: string; token: string }; onUnmount?: 'abort' | 'continue' }): Mounted
}
type Mounted = {
  version: string
  finished: { id: string; state: string }[]
  current(): UploadListView & {
    start(files: File[], options?: object): void
  }
  starts(): number
  unmount(): void
  until(holds: (uploads: readonly UploadItem[]) => boolean): Promise<void>
}

/** The hooks as a global object of the page. */
declare const hooks: ReactPage & typeof import('@millrace/client')

/** Opens a page of the album, in which the hooks with a version of React are a global object. */
async function openHooks(context: BrowserContext, alias: Record<string, string> = {}) {
  const content = await bundleForBrowser('tests/browser/react-page.js', { globalName: 'hooks', alias })
  const page = await context.newPage()
  await page.addInitScript({ content })
  return { page, errors: await visit(page, album.origin) }
}

for (const [major, alias] of [
  ['18', { react: 'react-18', 'react-dom': 'react-dom-18' }],
  ['19', {}],
] as const) {
  test(`React ${major}: useUpload sends, pauses, resumes and aborts in strict mode`, async () => {
    const { page, errors } = await openHooks(ada.context, alias)
    const photo = (await samplePicture(400, 300).jpeg().toBuffer()).toString('base64')
    const seen = await page.evaluate(async (photo) => {
      const { mount } = hooks
      const { version, current, until, finished, starts } = mount({})
      const untilStates = (...states: UploadItem['state'][]) =>
        until((uploads) => `${uploads.map(({ state }) => state)}` === `${states}`)
      const bytes = Uint8Array.from(atob(photo), (character) => character.charCodeAt(0))
      const zeros = (name: string) => new File([new Uint8Array(9 * 2 ** 20)], name, { type: 'image/bmp' })
      await untilStates()
      current().start([new File([bytes], 'a.jpg', { type: 'image/jpeg' }), zeros('b.bmp'), zeros('c.bmp')])
      await untilStates('sending', 'sending', 'sending')
      current().uploads[1]?.pause()
      current().uploads[2]?.abort()
      await untilStates('ready', 'paused', 'aborted')
      const [ready] = current().uploads
      current().uploads[1]?.resume()
      await untilStates('ready', 'rejected', 'aborted')
      const { uploads, progress, isSending } = current()
      current().uploads[2]?.remove()
      await untilStates('ready', 'rejected')
      return {
        ...{ version, progress, isSending, starts: starts() },
        finished: finished.map(({ state }) => state),
        variants: ready?.variants.map(({ name }) => name),
        isSame: ready === uploads[0],
        hasReason: Boolean(uploads[1]?.error?.message),
      }
    }, photo)
    assert.equal(seen, {
      ...{ version: seen.version, progress: 1, isSending: false, starts: 1 },
      finished: ['ready', 'rejected'],
      variants: ['w1920', 'w960', 'w320', 'thumbnail'],
      ...{ isSame: true, hasReason: true },
    })
    assert.is(seen.version.split('.')[0], major)
    assert.equal(errors, [])
    await page.close()
  })
}

test('useUpload of a plain client sends files with a token, to the end also without the component', async () => {
  const { page, errors } = await openHooks(ada.context)
  const response = await ada.page.request.post(`${album.origin}/api/uploads?route=photo`, {
    data: {
      files: ['a', 'b'].map((name) => ({ filename: name, contentType: 'image/png', size: 9 * 2 ** 20 })),
    },
  })
  const { origin, token }: { origin: string; token: string } = await response.json()
  const erased = page.waitForResponse((response) => response.request().method() === 'DELETE')
  const sent = await page.evaluate(
    async (millrace) => {
      const { mount } = hooks
      const start = async (onUnmount: 'abort' | 'continue') => {
        const mounted = mount({ millrace, onUnmount })
        await mounted.until(() => true)
        const file = new File([new Uint8Array(9 * 2 ** 20)], `${onUnmount}.png`, { type: 'image/png' })
        mounted.current().start([file], { metadata: { album: 'summer' } })
        await mounted.until(([upload]) => upload?.id !== undefined)
        mounted.unmount()
        return mounted.current().uploads[0]?.id ?? ''
      }
      return [await start('continue'), await start('abort')]
    },
    { origin, token },
  )
  const [continued = '', aborted = ''] = sent
  assert.is(new URL((await erased).url()).pathname, `/uploads/${aborted}`)
  const outcome = await page.evaluate(
    async ([origin, token, id]) => {
      const { createClient } = hooks
      const { state, metadata } = await createClient({ origin, getToken: () => token }).waitUntilFinished(id)
      return { state, album: metadata?.['album'] }
    },
    [origin, token, continued] as const,
  )
  assert.equal(outcome, { state: 'rejected', album: 'summer' })
  assert.equal(errors, [])
})

test.run()
