import * as assert from 'uvu/assert'
import { readCodeBlocks } from '../support/code-blocks.ts'
import { suite } from '../support/suite.ts'
import {
  type Credential,
  type Place,
  type SendingPage,
  type SendingPages,
  senders,
  startSendingPages,
} from './support/sending-pages.ts'
import { readTusScript, sendWithTus } from './support/tus-page.ts'
import {
  addZeros,
  awsS3Blocks,
  bundleUppy,
  majorsOf,
  runUppyBlocks,
  type UppyVersion,
  uploadIdOf,
  uppyVersions,
} from './support/uppy-page.ts'

const test = suite('clients of others on pages of all origins', {}, { limitMs: 60_000 })

let pages: SendingPages
let block: (title: string) => string
let script: string
let opened: { sender: string; page: SendingPage } | undefined

test.before(async () => {
  block = await readCodeBlocks('docs/uppy.md')
  const scripts = await Promise.all([bundleUppy(uppyVersions), readTusScript()])
  script = scripts.join('\n')
  pages = await startSendingPages()
})
test.after(() => pages?.close())

/** Opens a page with all clients, or returns that of the test before. */
async function openPage(place: Place, credential: Credential): Promise<SendingPage> {
  const sender = `${place}, ${credential}`
  if (opened?.sender === sender) {
    // Those of a test that has failed.
    opened.page.errors.length = 0
    return opened.page
  }
  await opened?.page.context.close()
  opened = { sender, page: await pages.open(place, credential, script) }
  return opened.page
}

/** The plugins, and the block that adds each. */
const plugins: [string, (version: UppyVersion, place: Place, credential: Credential) => string][] = [
  ['@uppy/aws-s3', (...sender) => awsS3Blocks(block, ...sender)],
  ['@uppy/tus', (_version, _place, credential) => block(`@uppy/tus, ${short(credential)}`)],
  ['@uppy/xhr-upload', (_version, _place, credential) => block(`@uppy/xhr-upload, ${short(credential)}`)],
]

/** The name of a block for a credential. */
const short = (credential: Credential) => (credential === 'a cookie' ? 'cookie' : 'token')

for (const [place, credential] of senders) {
  for (const version of uppyVersions) {
    for (const [plugin, blockOf] of plugins) {
      test(`${plugin} of Uppy ${version} sends a file from a page of ${place} with ${credential}`, async () => {
        const { page, client, errors, millrace } = await openPage(place, credential)
        const blocks = [
          block('Uppy'),
          ...(credential === 'a cookie' ? [block('cookie')] : []),
          blockOf(version, place, credential),
        ]
        const uppy = await runUppyBlocks(page, version, blocks, { millrace, token: pages.token })
        const name = `${plugin.slice(6)}.bin`
        await addZeros(uppy, { name, size: 5, meta: { album: 'Öl & Wasser' } })
        const { failed, successful } = await uppy.evaluate((uppy) => uppy.upload())
        assert.equal(
          failed.map(({ error }) => error),
          [],
        )
        const upload = await client.waitUntilFinished(uploadIdOf(successful[0]?.response))
        assert.equal([upload.state, upload.filename, upload.size], ['ready', name, 5])
        assert.equal(upload.metadata, { album: 'Öl & Wasser' })
        assert.equal(errors, [])
      })
    }
  }

  test(`tus-js-client sends a file from a page of ${place} with ${credential}`, async () => {
    const { page, client, errors, millrace } = await openPage(place, credential)
    const blocks = [block(`tus-js-client, ${short(credential)}`), block('tus-js-client, start or continue')]
    const sending = await sendWithTus(page, blocks, {
      ...{ millrace, token: pages.token, name: 'tus-js-client.bin', size: 250_000 },
      options: { chunkSize: 100_000 },
    })
    const { error, url } = await sending.evaluate(({ outcome }) => outcome)
    assert.is(error, undefined)
    const upload = await client.waitUntilFinished(url?.split('/').at(-1) ?? '')
    assert.equal([upload.state, upload.filename, upload.size], ['ready', 'tus-js-client.bin', 250_000])
    assert.equal(errors, [])
  })
}

for (const [plugin, blockOf] of plugins) {
  test(`the browser refuses to send a cookie with ${plugin} from a page of another site`, async () => {
    const { page, context } = await openPage('another site', 'a cookie')
    const blocks = [block('Uppy'), blockOf(5, 'another site', 'a cookie')]
    const uppy = await runUppyBlocks(page, 5, blocks, { millrace: pages.api, token: '' })
    await addZeros(uppy, { name: 'refused.bin', size: 5 })
    const refused = page.waitForEvent('requestfailed')
    await uppy.evaluate((uppy) => {
      uppy.upload()
    })
    assert.is((await refused).failure()?.errorText, 'net::ERR_FAILED')
    assert.equal(await context.cookies(pages.api), [])
    // Otherwise, it would try again.
    await uppy.evaluate((uppy) => uppy.cancelAll())
  })
}

for (const version of uppyVersions) {
  test(`@uppy/xhr-upload of Uppy ${version} sends a refused file once, and the page shows the reason`, async () => {
    const { page, millrace } = await openPage('another site', 'a cookie')
    const blocks = [block('Uppy'), block('@uppy/xhr-upload, token'), block('@uppy/xhr-upload, reason')]
    const uppy = await runUppyBlocks(page, version, blocks, { millrace, token: pages.token })
    await addZeros(uppy, { name: 'refused.bin', size: 5, meta: { preset: 'none' } })
    let requests = 0
    page.on('request', (request) => {
      if (request.url().endsWith('/upload')) requests += 1
    })
    assert.is((await uppy.evaluate((uppy) => uppy.upload())).failed.length, 1)
    const shown = await uppy.evaluate((uppy) => uppy.getState().info.map(({ message }) => message))
    assert.ok(
      shown.some((message) => message.startsWith('refused.bin: ') && message.includes('preset')),
      shown.join(),
    )
    assert.is(requests, 1)
  })
}

test('each version of Uppy has plugins of its own version', async () => {
  const { page } = await openPage('another site', 'a cookie')
  for (const version of uppyVersions) assert.equal(await majorsOf(page, version), [version])
})

test.run()
