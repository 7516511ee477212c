import type { JSHandle, Page, Request } from 'playwright-core'
import * as assert from 'uvu/assert'
import { readCodeBlocks } from '../support/code-blocks.ts'
import { interceptRequests, type RequestFate } from '../support/intercept-requests.ts'
import { suite } from '../support/suite.ts'
import { type Credential, type Place, type SendingPages, startSendingPages } from './support/sending-pages.ts'
import { readTusScript, sendWithTus } from './support/tus-page.ts'
import {
  addZeros,
  awsS3Blocks,
  bundleUppy,
  runUppyBlocks,
  type Uppy,
  type UppyResponse,
  type UppyVersion,
  uploadIdOf,
  uppyVersions,
} from './support/uppy-page.ts'

const test = suite('clients of others that are interrupted', {}, { limitMs: 60_000 })
const MiB = 1024 ** 2

let pages: SendingPages
let tusScript: string
let block: (title: string) => string

const scripts = new Map<UppyVersion, Promise<string>>()

/** Bundles a version of Uppy, once. */
function scriptOf(version: UppyVersion): Promise<string> {
  const script = scripts.get(version) ?? bundleUppy([version])
  scripts.set(version, script)
  return script
}

test.before(async () => {
  block = await readCodeBlocks('docs/uppy.md')
  ;[pages, tusScript] = await Promise.all([startSendingPages(), readTusScript()])
})
test.after(() => pages?.close())

type Way = {
  plugin: string
  /** The name of the plugin's instance, and options that divide a small file. */
  options: Record<string, object>
  size: number
  /** Where the page lies, and who it sends for. */
  sender(version: UppyVersion): [Place, Credential]
  addPlugin(version: UppyVersion): string
  /** Returns where the bytes of a request belong in the file; `undefined` if it sends none. */
  placeOf(request: { url: string; headers: Record<string, string> }): string | undefined
  /** Matches the requests that may be held, which are small, and their places. */
  urlPattern: string
  intercepted: string[]
  places: string[]
}

/** The same sender for all versions, except that `@uppy/aws-s3` 6 sends parts from Millrace's own origin only. */
const awsS3Sender = (version: UppyVersion): [Place, Credential] =>
  version === 6 ? ['the same origin', 'a cookie'] : ['another site', 'a token']

const awsS3: Way = {
  plugin: '@uppy/aws-s3',
  options: { AwsS3: { shouldUseMultipart: true }, AwsS3Multipart: { shouldUseMultipart: true } },
  size: 5 * MiB + 1,
  sender: awsS3Sender,
  addPlugin: (version) => awsS3Blocks(block, version, ...awsS3Sender(version)),
  placeOf: ({ url }) => new URL(url).searchParams.get('partNumber') ?? undefined,
  urlPattern: '*partNumber=2&*',
  intercepted: ['2'],
  places: ['1', '2'],
}
const tus: Way = {
  plugin: '@uppy/tus',
  options: { Tus: { chunkSize: 100_000 } },
  size: 200_001,
  sender: () => ['the same site', 'a cookie'],
  addPlugin: () => block('@uppy/tus, cookie'),
  // Playwright and Chromium write the names of headers in different ways.
  placeOf: ({ headers }) => headers['upload-offset'] ?? headers['Upload-Offset'],
  urlPattern: '*/tus/*',
  intercepted: ['0', '100000', '200000'],
  places: ['0', '100000', '200000'],
}

for (const version of uppyVersions) {
  for (const way of [awsS3, tus]) {
    const { plugin, options, size, sender, addPlugin, places } = way
    const placeOf = (request: Request) => way.placeOf({ url: request.url(), headers: request.headers() })
    test(`${plugin} of Uppy ${version} pauses in the Dashboard, continues after a reload, and erases what is cancelled`, async () => {
      const [place, credential] = sender(version)
      const { page, context, client, millrace } = await pages.open(place, credential, await scriptOf(version))
      const bytes = await watchBytes(page, way)
      const open = async () => {
        const blocks = [
          block('Uppy'),
          ...(credential === 'a cookie' ? [block('cookie')] : []),
          addPlugin(version),
          block('Dashboard and Golden Retriever'),
        ]
        const uppy = await runUppyBlocks(page, version, blocks, { millrace, token: pages.token })
        await setOptions(uppy, options)
        return uppy
      }

      const uppy = await open()
      await addZeros(uppy, { name: 'zeros.bin', size })
      const [first = '', second = ''] = places
      bytes.hold(second)
      // Uppy 4 and 5 send parts at the same time.
      const firstAccepted = page.waitForEvent('requestfinished', (request) => placeOf(request) === first)
      await page.locator('.uppy-StatusBar-actionBtn--upload').click()
      await Promise.all([bytes.held(), firstAccepted])

      const stopped = page.waitForEvent('requestfailed', (request) => placeOf(request) === second)
      await page.getByRole('button', { name: 'Pause', exact: true }).click()
      await stopped
      await page.getByRole('button', { name: 'Resume', exact: true }).waitFor()
      assert.equal(bytes.sent().toSorted(), [first, second])

      await page.getByRole('button', { name: 'Resume', exact: true }).click()
      await bytes.held()
      assert.equal(bytes.sent().toSorted(), [first, second, second])

      await stateIsSaved(page)
      await page.reload()
      const restoredUppy = await open()
      await page.waitForFunction((uppy) => uppy.getFiles().every(({ data }) => data), restoredUppy)
      bytes.release()
      const sending = await nextOutcome(restoredUppy)
      await page.locator('.uppy-StatusBar-actionBtn--upload').click()
      const { error, response } = await sending.evaluate(({ outcome }) => outcome)
      assert.is(error, undefined)
      // The first bytes were sent once.
      assert.equal(bytes.sent().toSorted(), [first, second, second, ...places.slice(1)].toSorted())
      const upload = await client.waitUntilFinished(uploadIdOf(response))
      assert.equal([upload.state, upload.size], ['ready', size])

      bytes.hold(second)
      const cancelled = await addZeros(restoredUppy, { name: 'cancelled.bin', size })
      await restoredUppy.evaluate((uppy) => {
        uppy.upload()
      })
      await bytes.held()
      const erased = page.waitForResponse((response) => response.request().method() === 'DELETE')
      await restoredUppy.evaluate((uppy, file) => uppy.removeFile(file), cancelled)
      const erasure = await erased
      assert.ok(erasure.ok())
      const id = new URL(erasure.url()).pathname.split('/').at(-1) ?? ''
      const { error: problem } = await client.api.GET('/uploads/{id}', { params: { path: { id } } })
      assert.is(problem?.code, 'upload_not_found')
      await context.close()
    })
  }
}

test('a retry of @uppy/aws-s3 of Uppy 6 sends only the parts that S3 does not have', async () => {
  const [place, credential] = awsS3Sender(6)
  const { page, context, client, millrace } = await pages.open(place, credential, await scriptOf(6))
  const { options, size, addPlugin, places } = awsS3
  const bytes = await watchBytes(page, awsS3)
  const blocks = [block('Uppy'), block('cookie'), addPlugin(6)]
  const uppy = await runUppyBlocks(page, 6, blocks, { millrace, token: pages.token })
  await setOptions(uppy, options)
  await addZeros(uppy, { name: 'zeros.bin', size })
  bytes.refuse('2')
  assert.is((await uppy.evaluate((uppy) => uppy.upload())).failed.length, 1)
  bytes.release()
  const { successful } = await uppy.evaluate((uppy) => uppy.retryAll())
  assert.equal(bytes.sent().toSorted(), [...places, '2'])
  const upload = await client.waitUntilFinished(uploadIdOf(successful[0]?.response))
  assert.equal([upload.state, upload.size], ['ready', size])
  await context.close()
})

const tusBlocks = () => [block('tus-js-client, token'), block('tus-js-client, start or continue')]

test('tus-js-client tries again after a lost connection, and continues after a reload', async () => {
  const { page, context, client, millrace } = await pages.open('another site', 'a token', tusScript)
  const bytes = await watchBytes(page, tus)
  const scope = {
    ...{ millrace, token: pages.token, name: 'zeros.bin', size: tus.size },
    options: { chunkSize: 100_000 },
  }
  bytes.lose('100000')
  bytes.hold('200000')
  await sendWithTus(page, tusBlocks(), scope)
  await bytes.held()
  assert.equal(bytes.sent(), ['0', '100000', '100000', '200000'])
  await page.reload()
  bytes.release()
  const sending = await sendWithTus(page, tusBlocks(), scope)
  const { error, url } = await sending.evaluate(({ outcome }) => outcome)
  assert.is(error, undefined)
  assert.equal(bytes.sent(), ['0', '100000', '100000', '200000', '200000'])
  const upload = await client.waitUntilFinished(url?.split('/').at(-1) ?? '')
  assert.equal([upload.state, upload.size], ['ready', tus.size])
  await context.close()
})

test('tus-js-client sends a stream whose length it does not know', async () => {
  const { page, context, client, millrace } = await pages.open('another site', 'a token', tusScript)
  const blocks = tusBlocks().map((code) => code.replace('Upload(file,', 'Upload(file.stream().getReader(),'))
  const sending = await sendWithTus(page, blocks, {
    ...{ millrace, token: pages.token, name: 'stream.bin', size: tus.size },
    options: { uploadLengthDeferred: true, chunkSize: 100_000 },
  })
  const { error, url } = await sending.evaluate(({ outcome }) => outcome)
  assert.is(error, undefined)
  const upload = await client.waitUntilFinished(url?.split('/').at(-1) ?? '')
  assert.equal([upload.state, upload.filename, upload.size], ['ready', 'stream.bin', tus.size])
  await context.close()
})

test('tus-js-client gets a clear refusal of parallelUploads, which would need concatenation', async () => {
  const { page, context, client, millrace } = await pages.open('the same site', 'a cookie', tusScript)
  const blocks = [block('cookie'), block('tus-js-client, cookie'), block('tus-js-client, start or continue')]
  const sending = await sendWithTus(page, blocks, {
    ...{ millrace, token: '', name: 'parallel.bin', size: tus.size },
    options: { parallelUploads: 2 },
  })
  const { error } = await sending.evaluate(({ outcome }) => outcome)
  assert.match(error ?? '', /Concatenation extension is not \(yet\) supported/)
  const { data } = await client.api.GET('/uploads', { params: { query: { limit: 10 } } })
  assert.equal(data?.uploads, [])
  await context.close()
})

/** Sets options of plugins that are in use. */
function setOptions(uppy: JSHandle<Uppy>, options: Record<string, object>) {
  return uppy.evaluate((uppy, options) => {
    for (const [id, value] of Object.entries(options)) uppy.getPlugin(id)?.setOptions(value)
  }, options)
}

/** Records the requests that send bytes, and can hold those of a place. */
async function watchBytes(page: Page, { placeOf, urlPattern, intercepted }: Way) {
  const sent: string[] = []
  const fates = new Map<string, RequestFate>()
  let arrived = Promise.withResolvers<void>()
  page.on('request', (request) => {
    const place = placeOf({ url: request.url(), headers: request.headers() })
    // The others are counted when they are intercepted, so that what is held has been counted.
    if (place === undefined || intercepted.includes(place)) return
    if (request.method() === 'PUT') sent.push(place)
  })
  await interceptRequests(page, urlPattern, (request) => {
    const place = placeOf(request)
    if (place === undefined) return 'sent'
    sent.push(place)
    const fate = fates.get(place) ?? 'sent'
    if (fate === 'lost') fates.delete(place)
    if (fate === 'held') arrived.resolve()
    return fate
  })
  return {
    sent: () => sent,
    /** Holds the requests that send this place. */
    hold: (place: string) => fates.set(place, 'held'),
    /** Waits for the next request that is held. */
    async held() {
      await arrived.promise
      arrived = Promise.withResolvers()
    },
    /** Refuses the requests that send this place. */
    refuse: (place: string) => fates.set(place, 400),
    /** Breaks the connection of the next request that sends this place. */
    lose: (place: string) => fates.set(place, 'lost'),
    /** Sends all requests on from now on. */
    release: () => fates.clear(),
  }
}

/** Returns a handle with what becomes of the next file. Uppy 4's event `complete` comes at once, without the restored file. */
function nextOutcome(uppy: JSHandle<Uppy>) {
  return uppy.evaluateHandle((uppy) => ({
    outcome: new Promise<{ error?: string; response?: UppyResponse }>((resolve) => {
      uppy.once('upload-success', (_file, response) => resolve({ response }))
      uppy.once('upload-error', (_file, error) => resolve({ error: String(error) }))
    }),
  }))
}

declare const localStorage: { getItem(name: string): string | null }
type Opened<T> = { result: T; onsuccess: () => void }
declare const indexedDB: {
  open(name: string): Opened<{
    objectStoreNames: { contains(name: string): boolean }
    transaction(name: string): {
      objectStore(name: string): { get(id: string): Opened<{ metadata: string } | undefined> }
    }
    close(): void
  }>
}

/** Waits until Golden Retriever has stored where the upload lies. It writes at most every half a second. */
async function stateIsSaved(page: Page) {
  await page.waitForFunction(async () => {
    const wait = <T>(request: Opened<T>) =>
      new Promise<T>((resolve) => {
        request.onsuccess = () => resolve(request.result)
      })
    // Uppy 6 stores it in IndexedDB.
    const readDatabase = async () => {
      const database = await wait(indexedDB.open('uppy-blobs'))
      const saved = database.objectStoreNames.contains('metadata')
        ? await wait(database.transaction('metadata').objectStore('metadata').get('uppy'))
        : undefined
      database.close()
      return saved?.metadata
    }
    const state = localStorage.getItem('uppyState:uppy') ?? (await readDatabase()) ?? ''
    return state.includes('"uploadUrl"') || state.includes('"uploadId"')
  })
}

test.run()
