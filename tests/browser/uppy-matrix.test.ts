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
import {
  addZeros,
  awsS3Block,
  bundleUppy,
  runUppyBlocks,
  type Uppy,
  type UppyVersion,
  uploadIdOf,
  uppyVersions,
} from './support/uppy-page.ts'

const test = suite('Uppy on pages of all origins', {}, { limitMs: 60_000 })

let pages: SendingPages
let block: (title: string) => string
let script: string
let opened: { sender: string; page: SendingPage } | undefined

test.before(async () => {
  block = await readCodeBlocks('docs/uppy.md')
  ;[pages, script] = await Promise.all([startSendingPages(), bundleUppy(uppyVersions)])
})
test.after(() => pages.close())

/** Opens a page with all versions of Uppy, or returns that of the test before. */
async function openPage(place: Place, credential: Credential): Promise<SendingPage> {
  const sender = `${place}, ${credential}`
  if (opened?.sender === sender) return opened.page
  await opened?.page.context.close()
  opened = { sender, page: await pages.open(place, credential, script) }
  return opened.page
}

/** The plugins, and the block that adds each. */
const plugins: [string, (version: UppyVersion, place: Place, credential: Credential) => string][] = [
  ['@uppy/aws-s3', (...sender) => awsS3Block(block, ...sender)],
  ['@uppy/tus', (_version, _place, credential) => block(`@uppy/tus, ${credential.slice(2)}`)],
  ['@uppy/xhr-upload', (_version, _place, credential) => block(`@uppy/xhr-upload, ${credential.slice(2)}`)],
]

for (const [place, credential] of senders) {
  for (const version of uppyVersions) {
    for (const [plugin, blockOf] of plugins) {
      test(`${plugin} of Uppy ${version} sends a file from a page of ${place} with ${credential}`, async () => {
        const { page, client, millrace } = await openPage(place, credential)
        const blocks = [
          block('Uppy'),
          ...(credential === 'a cookie' ? [block('cookie')] : []),
          blockOf(version, place, credential),
        ]
        const uppy = await runUppyBlocks(page, version, blocks, { millrace, token: pages.token })
        const name = `${plugin.slice(6)}.bin`
        await addZeros(uppy, name, 5)
        const { failed, successful } = await uppy.evaluate((uppy: Uppy) => uppy.upload())
        assert.equal(
          failed.map(({ error }) => error),
          [],
        )
        const [file] = successful
        assert.ok(file)
        const { state, filename, size, metadata } = await client.waitUntilFinished(uploadIdOf(file.response))
        assert.equal(
          { state, filename, size, metadata },
          {
            state: 'ready',
            filename: name,
            size: 5,
            metadata: undefined,
          },
        )
      })
    }
  }
}

test.run()
