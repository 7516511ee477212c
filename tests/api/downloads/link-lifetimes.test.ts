import { mock } from 'node:test'
import { S3Client } from '@aws-sdk/client-s3'
import { downloadRoutes } from '@millrace/api/downloads/download-routes.ts'
import { createDownloadSigner } from '@millrace/api/downloads/sign-download.ts'
import { createUrlSigner } from '@millrace/api/signing/sign-url.ts'
import { parseAmzDate } from '@millrace/local-s3/signing/signature-v4.ts'
import { createOriginals } from '@millrace/shared/ledger/originals.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import fc from 'fast-check'
import { fastify } from 'fastify'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'

const test = suite('lifetimes of signed links')
const minuteMs = 60_000
/** A multiple of five minutes. */
const startMs = Date.parse('2026-11-28T12:00:00.000Z')
const credentials = { accessKeyId: 'a', secretAccessKey: 'b' }
const s3 = new S3Client({ region: 'eu-central-1', credentials })
const originals = createOriginals({ s3, bucket: 'b' })
const signer = createDownloadSigner({ signer: createUrlSigner({ s3, bucket: 'b' }), originals })

const createdAt = new Date(startMs).toISOString()
const upload: Upload = {
  ...{ id: newUploadId(), owner: 's-1', state: 'ready', createdAt, updatedAt: createdAt },
  intent: { filename: 'a.jpg', contentType: 'image/jpeg', size: 7, preset: 'default' },
  findings: { detectedType: 'image/jpeg' },
  arrival: { etag: '"e"', size: 7, versionId: 'v1' },
  variants: [
    {
      name: 'w320',
      key: 'variants/s-1/x/w320.webp',
      contentType: 'image/webp',
      width: 3,
      height: 2,
      size: 7,
    },
  ],
}

test.before(() => mock.timers.enable({ apis: ['Date'], now: startMs }))
test.after(() => {
  mock.timers.reset()
  s3.destroy()
})

test('a link is valid for 15 minutes from the start of its five minutes, in which it stays the same', async () => {
  await checkProperty(
    fc.asyncProperty(
      fc.nat({ max: 1_000 }),
      fc.oneof(fc.constantFrom(0, 5 * minuteMs - 1), fc.nat({ max: 5 * minuteMs - 1 })),
      fc.constantFrom('original', 'variant'),
      async (window, laterMs, file) => {
        const sign = () => (file === 'original' ? signer.original(upload) : signer.variant(upload, 'w320'))
        const windowMs = startMs + window * 5 * minuteMs
        mock.timers.setTime(windowMs)
        const first = await sign()
        const parameters = new URL(first.url).searchParams
        assert.is(parseAmzDate(parameters.get('X-Amz-Date') ?? ''), windowMs)
        assert.is(parameters.get('X-Amz-Expires'), '900')
        assert.is(first.expiresAt.getTime(), windowMs + 15 * minuteMs)
        mock.timers.setTime(windowMs + laterMs)
        assert.equal(await sign(), first)
        mock.timers.setTime(windowMs + 5 * minuteMs)
        assert.is.not((await sign()).url, first.url)
      },
    ),
    { runs: 30 },
  )
})

test('a redirect is kept by the browser alone, for five minutes, and never beyond the end of its link', async () => {
  let expiresInMs = 0
  const app = fastify()
  downloadRoutes(app, {
    findOwnUpload: async () => ({ upload, revision: 1, isChecked: true }),
    sameSitePages: false,
    signDownload: {
      original: async () => ({ url: 'https://s3.example/a', expiresAt: new Date(Date.now() + expiresInMs) }),
      variant: async () => ({ url: 'https://s3.example/b', expiresAt: new Date(Date.now() + expiresInMs) }),
    },
  })
  for (const [endsInMs, seconds] of [
    [15 * minuteMs, 300],
    [5 * minuteMs, 300],
    [5 * minuteMs - 1, 299],
    [61_999, 61],
    [0, 0],
    [-minuteMs, 0],
  ] as const) {
    expiresInMs = endsInMs
    for (const file of ['original', 'variants/w320']) {
      for (const accept of ['*/*', 'application/json']) {
        const { headers } = await app.inject({ url: `/uploads/${upload.id}/${file}`, headers: { accept } })
        assert.is(headers['cache-control'], `private, max-age=${seconds}`, `${endsInMs} ms`)
        assert.is(headers['vary'], 'Accept, Origin')
        assert.is(headers['referrer-policy'], 'no-referrer')
      }
    }
  }
  await app.close()
})

test.run()
