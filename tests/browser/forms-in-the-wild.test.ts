import type { BrowserContext } from 'playwright-core'
import * as assert from 'uvu/assert'
import { bundleForBrowser } from '../support/browser-bundle.ts'
import { openPage } from '../support/chromium.ts'
import { readCodeBlocks } from '../support/code-blocks.ts'
import { suite } from '../support/suite.ts'
import { until } from '../support/until.ts'
import { type Credential, type Place, type SendingPages, startSendingPages } from './support/sending-pages.ts'

const test = suite('forms in the wild', {}, { limitMs: 60_000 })

let pages: SendingPages
let block: (title: string) => string
let url: string
let script: string

test.before(async () => {
  block = await readCodeBlocks('docs/integrate.md')
  script = await bundleForBrowser('tests/browser/forms-in-the-wild.js')
  pages = await startSendingPages()
  url = pages.api
})
test.after(() => pages?.close())

// The page's globals that are used here. The tests are type-checked with the services, which have no DOM types.
type FilePondInstance = {
  getFiles(): { serverId: string }[]
  removeFile(options: { revert: boolean }): void
  on(event: string, listener: (error: unknown) => void): void
}
type DropzoneInstance = {
  on(event: string, listener: (...values: unknown[]) => void): void
}
type PageModule = {
  createFilePond(element: unknown, options: object): FilePondInstance
  Dropzone: new (selector: string, options?: object) => DropzoneInstance
}
declare const window: Record<string, unknown>
declare const document: { querySelector(selector: string): unknown }

/** Opens a page of the API's origin, in a browser of its own that has a session. */
async function openOwnPage(html: string) {
  const context = await pages.browser.newContext()
  await context.route(`${url}/own/**`, (route) =>
    route.request().url().endsWith('.js')
      ? route.fulfill({ contentType: 'text/javascript', body: script })
      : route.fulfill({
          contentType: 'text/html; charset=utf-8',
          body: `<!doctype html><link rel="icon" href="data:,"><title>own</title>${html}`,
        }),
  )
  await context.request.get(`${url}/session`)
  return { context, ...(await openPage(context, `${url}/own/page`)) }
}

type Listed = { uploads: { id: string; filename: string; size: number; metadata?: Record<string, string> }[] }

async function list(context: BrowserContext) {
  const { uploads }: Listed = await (await context.request.get(`${url}/uploads`)).json()
  return uploads.map(({ filename, size, metadata }) => [filename, size, metadata]).sort()
}

const file = (name: string, text: string) => ({ name, mimeType: 'text/plain', buffer: Buffer.from(text) })

test('FilePond with its defaults sends files and reverts one', async () => {
  const { context, page, errors } = await openOwnPage('<input type="file" name="filepond" multiple>')
  await page.evaluate(async () => {
    const { createFilePond }: PageModule = await import('/own/page.js' as string)
    const pond = createFilePond(document.querySelector('input'), { server: '/upload' })
    window['pond'] = pond
    window['sent'] = new Promise((resolve) => pond.on('processfiles', resolve))
  })
  await page.locator('.filepond--browser').setInputFiles([file('één.txt', 'one'), file('b.txt', '')])
  await page.evaluate(() => window['sent'])
  assert.equal(await list(context), [
    ['b.txt', 0, undefined],
    ['één.txt', 3, undefined],
  ])
  await page.evaluate(async () => {
    const pond = window['pond'] as FilePondInstance
    await new Promise((resolve, reject) => {
      pond.on('processfilerevert', resolve)
      pond.on('error', reject)
      pond.removeFile({ revert: true })
    })
    // The event comes before the response.
    while (pond.getFiles().length > 1) await new Promise((resolve) => setTimeout(resolve))
  })
  await until(async () => (await list(context)).length <= 1)
  assert.is((await list(context)).length, 1)
  assert.equal(errors, [])
  await context.close()
})

for (const uploadMultiple of [false, true]) {
  test(`Dropzone sends files ${uploadMultiple ? 'in one request' : 'with its defaults'}`, async () => {
    const { context, page, errors } = await openOwnPage(
      '<form action="/upload" id="zone"><input type="hidden" name="album" value="summer"></form>',
    )
    await page.evaluate(
      async ([uploadMultiple]) => {
        const { Dropzone }: PageModule = await import('/own/page.js' as string)
        const zone = new Dropzone('#zone', uploadMultiple ? { uploadMultiple } : {})
        const responses: unknown[] = []
        zone.on('success', (_file, response) => responses.push(response))
        window['sent'] = new Promise((resolve, reject) => {
          zone.on('queuecomplete', () => resolve(responses))
          zone.on('error', (_file, message) => reject(new Error(JSON.stringify(message))))
        })
      },
      [uploadMultiple],
    )
    await page.locator('.dz-hidden-input').setInputFiles([file('a.txt', 'a'), file('b.txt', 'bb')])
    const responses = await page.evaluate(() => window['sent'])
    assert.equal(await list(context), [
      ['a.txt', 1, { album: 'summer' }],
      ['b.txt', 2, { album: 'summer' }],
    ])
    assert.is(/"uploads":/.test(JSON.stringify(responses)), uploadMultiple)
    assert.equal(errors, [])
    await context.close()
  })
}

const otherOrigins: [Place, Credential, name: string][] = [
  ['the same site', 'a cookie', 'cookie'],
  ['another site', 'a token', 'token'],
]

/**
 * Opens a page of another origin, with an element for FilePond and one for Dropzone, and runs a block of docs/integrate.md.
 *
 * @param result the name of the block's constant
 */
async function openOtherPage(place: Place, credential: Credential, code: string, result: string) {
  const opened = await pages.open(place, credential, '')
  await opened.context.route('**/forms.js', (route) =>
    route.fulfill({ contentType: 'text/javascript', body: script }),
  )
  const scope = { millrace: opened.millrace, token: pages.token }
  await opened.page.evaluate(`(async () => {
    const { createFilePond: create, Dropzone } = await import('/forms.js')
    const { millrace, token } = ${JSON.stringify(scope)}
    const getToken = async () => token
    document.body.innerHTML = '<input type="file" name="filepond" multiple><div id="dropzone"></div>'
    ${code.replace(/^const millrace = .*$/m, '')}
    window.field = ${result}
  })()`)
  return opened
}

for (const [place, credential, name] of otherOrigins) {
  test(`FilePond on a page of ${place} sends files and reverts one, with ${credential}`, async () => {
    const code = block(`FilePond, ${name}`)
    const { context, client, page, errors } = await openOtherPage(place, credential, code, 'pond')
    await page.evaluate(() => {
      const pond = window['field'] as FilePondInstance
      window['sent'] = new Promise((resolve) => pond.on('processfiles', resolve))
    })
    await page.locator('.filepond--browser').setInputFiles([file('pond-a.txt', 'a'), file('pond-b.txt', '')])
    await page.evaluate(() => window['sent'])
    const names = async () => {
      const { data } = await client.api.GET('/uploads')
      return data?.uploads.map(({ filename }) => filename).filter((name) => name.startsWith('pond-'))
    }
    assert.equal((await names())?.sort(), ['pond-a.txt', 'pond-b.txt'])
    const reverted = page.waitForResponse((response) => response.request().method() === 'DELETE')
    await page.evaluate(() => (window['field'] as FilePondInstance).removeFile({ revert: true }))
    assert.is((await reverted).status(), 200)
    assert.is((await names())?.length, 1)
    assert.equal(errors, [])
    await context.close()
  })

  test(`Dropzone on a page of ${place} sends files with ${credential}`, async () => {
    const code = block(`Dropzone, ${name}`)
    const { context, client, page, errors } = await openOtherPage(place, credential, code, 'dropzone')
    await page.evaluate(() => {
      const zone = window['field'] as DropzoneInstance
      window['sent'] = new Promise((resolve, reject) => {
        zone.on('queuecomplete', () => resolve(undefined))
        zone.on('error', (_file, message) => reject(new Error(JSON.stringify(message))))
      })
    })
    await page.locator('.dz-hidden-input').setInputFiles([file('zone-a.txt', 'a'), file('zone-b.txt', 'bb')])
    await page.evaluate(() => window['sent'])
    const { data } = await client.api.GET('/uploads')
    const sent = data?.uploads.map(({ filename }) => filename).filter((name) => name.startsWith('zone-'))
    assert.equal(sent?.sort(), ['zone-a.txt', 'zone-b.txt'])
    assert.equal(errors, [])
    await context.close()
  })
}

test('a plain form sends several files, with names that browsers escape', async () => {
  const { context, page } = await openOwnPage(
    `<form action="/upload" method="post" enctype="multipart/form-data">
      <input type="file" name="avatar"><input name="caption" value="Été"><input type="file" name="photos" multiple>
      <button name="send" value="now">Send</button></form>`,
  )
  await page.locator('[name=photos]').setInputFiles([file('"Spaß" 100%.txt', 'a'), file('漢字%22.txt', 'b')])
  await page.locator('button').click()
  await page.waitForURL(`${url}/upload`)
  assert.equal(await list(context), [
    ['"Spaß" 100%.txt', 1, { caption: 'Été' }],
    // Chromium sends both names with %22, and no server can tell them apart.
    ['漢字".txt', 1, { caption: 'Été' }],
  ])
  await context.close()
})

test.run()
