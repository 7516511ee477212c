import { generateKeyPairSync, verify } from 'node:crypto'
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { readConfig } from '@millrace/api/config.ts'
import { SignedDownload } from '@millrace/api/downloads/download-routes.ts'
import { createDownloadSigner } from '@millrace/api/downloads/sign-download.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import { createCdnSigner } from '@millrace/api/signing/sign-cdn-url.ts'
import { createUrlSigner } from '@millrace/api/signing/sign-url.ts'
import { parseAmzDate } from '@millrace/local-s3/signing/signature-v4.ts'
import { parseOriginalKey, uploadVariantsPrefix, variantKey } from '@millrace/shared/ledger/object-keys.ts'
import { createOriginals } from '@millrace/shared/ledger/originals.ts'
import type { Upload, UploadState } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import { parse } from 'content-disposition'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { announce, formOf, sendForm } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'

const test = suite('download')
const bytes = new TextEncoder().encode('<b>hi</b>')
let api: ApiInstances

test.before(async () => {
  api = await startApiInstances()
})
test.after(() => api.close())

/** Sends a file and writes what a worker would write: a variant and the record in `state`. */
async function uploadInState(state: UploadState, filename = 'page.html', detectedType?: string) {
  const client = createHttpClient(api.url)
  const announced = await announce(client, bytes.length, { filename, contentType: 'text/html' })
  await sendForm(formOf(announced), bytes)
  const address = parseOriginalKey(formOf(announced).fields['key'] ?? '')
  if (!address) throw new Error('The form has no key of an original.')
  const key = variantKey(address, { version: 'default', name: 'w320', sha256: 'ab12', extension: 'webp' })
  await api.s3.send(
    new PutObjectCommand({ Bucket: api.bucket, Key: key, Body: 'variant', ContentType: 'image/webp' }),
  )
  const original = await createOriginals({ s3: api.s3, bucket: api.bucket }).find(address)
  if (!original) throw new Error('S3 has no original.')
  await change(address, {
    state,
    arrival: original.arrival,
    findings: { ...(detectedType && { detectedType }) },
    variants: [{ name: 'w320', key, contentType: 'image/webp', width: 320, height: 200, size: 7 }],
  })
  return { client, id: announced.id, address, form: formOf(announced) }
}

async function change(address: UploadAddress, changes: Partial<Upload>) {
  const records = createUploadRecords({ redis: api.redis, prefix: api.prefix })
  await records.update(address, (current) => ({ ...current, ...changes }))
}

test('a variant is downloaded by a redirect to S3, whose URL stays the same for some minutes', async () => {
  const { client, id } = await uploadInState('ready')
  const response = await client.get(`/uploads/${id}/variants/w320`)
  assert.is(response.status, 302)
  assert.match(response.headers.get('cache-control') ?? '', /^private, max-age=/)
  assert.is(response.headers.get('referrer-policy'), 'no-referrer')
  const file = await fetch(response.headers.get('location') ?? '')
  assert.is(file.status, 200)
  assert.is(file.headers.get('content-type'), 'image/webp')
  assert.is(await file.text(), 'variant')
  const again = await client.get(`/uploads/${id}/variants/w320`)
  assert.is(again.headers.get('location'), response.headers.get('location'))
})

test('S3 serves a variant of any form of key, and answers that only the reader may keep it', async () => {
  const { client, id, address } = await uploadInState('ready')
  const earlier = `${uploadVariantsPrefix(address)}default/w320.webp`
  await api.s3.send(
    new PutObjectCommand({
      Bucket: api.bucket,
      Key: earlier,
      Body: 'earlier',
      CacheControl: 'max-age=31536000, immutable',
    }),
  )
  const readVariant = async () => {
    const response = await client.get(`/uploads/${id}/variants/w320`)
    const file = await fetch(response.headers.get('location') ?? '')
    return [await file.text(), file.headers.get('cache-control')]
  }
  const cacheControl = 'private, max-age=31536000, immutable'
  assert.equal(await readVariant(), ['variant', cacheControl])
  await change(address, {
    variants: [{ name: 'w320', key: earlier, contentType: 'image/webp', width: 320, height: 200, size: 7 }],
  })
  assert.equal(await readVariant(), ['earlier', cacheControl])
})

test('an original is served as an attachment with its filename, never as a page', async () => {
  const { client, id } = await uploadInState('ready', 'Füße "1"\\%.html')
  const response = await client.get(`/uploads/${id}/original`)
  const file = await fetch(response.headers.get('location') ?? '')
  assert.equal(new Uint8Array(await file.arrayBuffer()), bytes)
  assert.is(file.headers.get('content-type'), 'application/octet-stream')
  assert.is(
    file.headers.get('content-disposition'),
    String.raw`attachment; filename="F??e \"1\"\\%.html"; filename*=UTF-8''F%C3%BC%C3%9Fe%20%221%22%5C%25.html`,
  )
})

test('a download has the name of its file, whatever characters the name has', async () => {
  for (const name of [
    'plain.jpg',
    'the "plans".pdf',
    '100%41;x=y.txt',
    "it's (1)*.txt",
    '日本 €.png',
    'a\\b.txt',
    '漢'.repeat(255),
    '😀'.repeat(255),
  ]) {
    const { client, id } = await uploadInState('ready', name)
    const response = await client.get(`/uploads/${id}/original`)
    const file = await fetch(response.headers.get('location') ?? '')
    const header = file.headers.get('content-disposition') ?? ''
    assert.equal([parse(header).type, parse(header).parameters['filename']], ['attachment', name])
  }
})

const hostileTypes = [
  ...['text/html', 'image/svg+xml', 'image/svg', 'application/xhtml+xml', 'application/xml', 'text/xml'],
  ...[
    'application/rss+xml',
    'text/javascript',
    'text/css',
    'text/plain',
    'text/csv',
    'application/json',
    'application/zip',
    'message/rfc822',
  ],
  ...[
    'multipart/related',
    'application/x-mimearchive',
    'image/x+xml',
    'image/png; charset=utf-7',
    'IMAGE/SVG+XML',
  ],
]

for (const [detectedType, served] of [
  ...hostileTypes.map((type) => [type, 'application/octet-stream']),
  ...[
    'image/png',
    'image/jpeg',
    'image/vnd.adobe.photoshop',
    'video/mp4',
    'audio/mpeg',
    'application/pdf',
  ].map((type) => [type, type]),
]) {
  test(`an original of type ${detectedType} is served as an attachment of type ${served}`, async () => {
    const { client, id } = await uploadInState('ready', 'file', detectedType)
    const response = await client.get(`/uploads/${id}/original`)
    assert.is(response.status, 302)
    const location = response.headers.get('location') ?? ''
    const file = await fetch(location)
    assert.is(file.status, 200)
    assert.is(file.headers.get('content-type'), served)
    assert.match(file.headers.get('content-disposition') ?? '', /^attachment;/)
    // The signature covers these parameters: S3 refuses the URL without them.
    for (const name of ['response-content-disposition', 'response-content-type']) {
      const changed = new URL(location)
      changed.searchParams.delete(name)
      assert.is((await fetch(changed)).status, 403)
    }
  })
}

for (const state of ['awaiting', 'received', 'processing', 'rejected', 'failed'] as const) {
  test(`no byte of an upload in state ${state} is served`, async () => {
    const { client, id } = await uploadInState(state)
    for (const path of ['original', 'variants/w320']) {
      const response = await client.get(`/uploads/${id}/${path}`)
      assert.is(response.status, 409)
      assert.is(bodyOf(response, Problem).code, 'upload_not_ready')
      assert.is(response.headers.get('location'), null)
    }
  })
}

test('a download serves the inspected bytes, even if the form has replaced them', async () => {
  const { client, id, form } = await uploadInState('ready')
  const replaced = await sendForm(form, new TextEncoder().encode('<b>no</b>'))
  assert.is(replaced.status, 201)
  const response = await client.get(`/uploads/${id}/original`)
  const file = await fetch(response.headers.get('location') ?? '')
  assert.equal(new Uint8Array(await file.arrayBuffer()), bytes)
})

const files = ['original', 'variants/w320'] as const

test('HEAD of a file answers like GET, and its redirect can be followed with HEAD', async () => {
  const { client, id } = await uploadInState('ready')
  for (const file of files) {
    const [get, head] = [
      await client.get(`/uploads/${id}/${file}`),
      await client.request('HEAD', `/uploads/${id}/${file}`),
    ]
    assert.is(head.status, 302)
    const own = ['date', 'x-request-id', 'location', 'connection', 'keep-alive']
    const headersOf = ({ headers }: typeof get) =>
      Object.fromEntries([...headers].filter(([name]) => !own.includes(name)))
    assert.equal(headersOf(head), headersOf(get))
    const pathOf = (response: typeof get) => new URL(response.headers.get('location') ?? '').pathname
    assert.is(pathOf(head), pathOf(get))
    // A signature of S3 includes the method.
    const followed = await fetch(new URL(`/uploads/${id}/${file}`, api.url), {
      method: 'HEAD',
      headers: { cookie: client.cookie ?? '' },
    })
    const got = await fetch(get.headers.get('location') ?? '')
    assert.is(followed.status, 200)
    for (const name of ['content-type', 'content-length', 'content-disposition', 'etag']) {
      assert.is(followed.headers.get(name), got.headers.get(name), name)
    }
    await got.arrayBuffer()
  }
})

test('a file is a redirect, unless the request prefers JSON to the file', async () => {
  const { client, id } = await uploadInState('ready', 'a.jpg', 'image/jpeg')
  const browserPage = 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8'
  for (const [accept, status] of [
    ['*/*', 302],
    ['', 302],
    ['image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8', 302],
    [browserPage, 302],
    // The default of axios: also for a file that is read as a Blob.
    ['application/json, text/plain, */*', 302],
    ['application/json;q=0.5, image/*', 302],
    ['application/json;q=0, */*;q=0', 302],
    ['text/html', 302],
    ['application/jsonp', 302],
    [';;,=', 302],
    ['application/json', 200],
    ['Application/JSON; charset=utf-8', 200],
    ['application/*', 200],
    ['application/json, text/javascript, */*; q=0.01', 200],
    ['image/*;q=0, */*', 200],
  ] as const) {
    for (const file of files) {
      const response = await client.get(`/uploads/${id}/${file}`, { headers: { accept } })
      assert.is(response.status, status, `${accept} ${file}`)
      assert.match(response.headers.get('vary') ?? '', /\baccept\b/i)
      assert.match(response.headers.get('cache-control') ?? '', /^private, max-age=/)
    }
  }
})

test('a request that prefers JSON gets the signed URL and the time at which it expires', async () => {
  const { client, id } = await uploadInState('ready')
  for (const file of files) {
    const headers = { accept: 'application/json' }
    const response = await client.get(`/uploads/${id}/${file}`, { headers })
    const { url, expiresAt } = bodyOf(response, SignedDownload)
    const redirect = await client.get(`/uploads/${id}/${file}`)
    assert.is(url, redirect.headers.get('location'))
    const [, year, month, day, hour, minute] =
      /X-Amz-Date=(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)00Z&X-Amz-Expires=900&/.exec(url) ?? []
    const signedAtMs = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:00Z`)
    assert.is(Date.parse(expiresAt), signedAtMs + 900_000)
    const lifeSeconds = (Date.parse(expiresAt) - Date.now()) / 1000
    assert.ok(lifeSeconds > 9 * 60 && lifeSeconds <= 15 * 60, `${lifeSeconds} s`)
    assert.is((await fetch(url)).status, 200)

    const head = await client.request('HEAD', `/uploads/${id}/${file}`, { headers })
    assert.equal([head.status, head.body], [200, ''])
    assert.is(head.headers.get('content-type'), response.headers.get('content-type'))
    assert.is(head.headers.get('content-length'), response.headers.get('content-length'))
  }
})

test('a URL expires, and says so, before the credentials that signed it', async () => {
  const { address } = await uploadInState('ready')
  const upload = (await createUploadRecords({ redis: api.redis, prefix: api.prefix }).find(address))?.upload
  if (!upload) throw new Error('The upload has no record.')
  const expiration = new Date(Math.floor(Date.now() / 1000) * 1000 + 60_000)
  const credentials = { accessKeyId: 'a', secretAccessKey: 'b', expiration }
  const s3 = new S3Client({ region: 'eu-central-1', credentials })
  const originals = createOriginals({ s3: api.s3, bucket: api.bucket })
  const sign = createDownloadSigner({ signer: createUrlSigner({ s3, bucket: api.bucket }), originals })
  const { url, expiresAt } = await sign.variant(upload, 'w320')
  const { searchParams } = new URL(url)
  const signedAtMs = parseAmzDate(searchParams.get('X-Amz-Date') ?? '')
  const promisedMs = signedAtMs + Number(searchParams.get('X-Amz-Expires')) * 1000
  assert.equal([expiresAt.getTime(), promisedMs], [expiration.getTime() - 30_000, expiresAt.getTime()])
  assert.equal(await sign.variant(upload, 'w320'), { url, expiresAt })
  s3.destroy()
})

test('a replaced original without a version id is not served', async () => {
  const { client, id, form, address } = await uploadInState('ready')
  const records = createUploadRecords({ redis: api.redis, prefix: api.prefix })
  await records.update(address, (current) => {
    const { versionId: _, ...arrival } = current.arrival ?? { etag: '', size: 0 }
    return { ...current, arrival }
  })
  assert.is((await client.get(`/uploads/${id}/original`)).status, 302)
  await sendForm(form, new TextEncoder().encode('<b>no</b>'))
  assert.is((await client.get(`/uploads/${id}/original`)).status, 409)
})

test('a variant name that the upload does not have is not found', async () => {
  const { client, id } = await uploadInState('ready')
  for (const name of ['w1', '..%2f..', 'w320%00', 'constructor']) {
    const response = await client.get(`/uploads/${id}/variants/${name}`)
    assert.is(response.status, 404)
    assert.is(bodyOf(response, Problem).code, 'variant_not_found')
  }
})

test('with a CDN, variants have CloudFront URLs and originals have S3 URLs', async () => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const origin = 'https://d111111abcdef8.cloudfront.net'
  const cdn = createCdnSigner({
    origin,
    keyPairId: 'K123',
    privateKey: String(privateKey.export({ type: 'pkcs8', format: 'pem' })),
  })
  const { address } = await uploadInState('ready')
  const records = createUploadRecords({ redis: api.redis, prefix: api.prefix })
  const upload = (await records.find(address))?.upload
  if (!upload) throw new Error('The upload has no record.')
  const originals = createOriginals({ s3: api.s3, bucket: api.bucket })
  const signer = createUrlSigner({ s3: api.s3, bucket: api.bucket })
  const sign = createDownloadSigner({ signer, originals, cdn })

  const url = new URL((await sign.variant(upload, 'w320')).url)
  const resource = `${origin}/${upload.variants[0]?.key}`
  assert.is(`${url.origin}${url.pathname}`, resource)
  assert.is(url.searchParams.get('Key-Pair-Id'), 'K123')
  const expires = Number(url.searchParams.get('Expires'))
  const lifeSeconds = expires - Date.now() / 1000
  assert.ok(lifeSeconds > 9 * 60 && lifeSeconds <= 15 * 60, `${lifeSeconds} s`)
  // CloudFront Developer Guide, "Code examples for creating a signature for a signed URL": +=/ become -_~.
  const policy = `{"Statement":[{"Resource":"${resource}","Condition":{"DateLessThan":{"AWS:EpochTime":${expires}}}}]}`
  const signature = String(url.searchParams.get('Signature')).replace(
    /[-_~]/g,
    (c) => ({ '-': '+', _: '=', '~': '/' })[c] ?? c,
  )
  assert.ok(verify('sha1', Buffer.from(policy), publicKey, Buffer.from(signature, 'base64')))

  assert.ok((await sign.original(upload)).url.startsWith(await signer.origin()))

  // Browsers would give a script the response that they keep of an image, which has no CORS headers.
  for (const signer of [sign, createDownloadSigner({ signer: createUrlSigner(api), originals })]) {
    const addresses = [false, true].flatMap((byScript) => [
      signer.variant(upload, 'w320', { byScript }),
      signer.original(upload, { byScript }),
    ])
    assert.is(
      new Set((await Promise.all(addresses)).map(({ url }) => url.split(/&(?:Expires|X-Amz-Signature)=/)[0]))
        .size,
      4,
    )
  }
})

test('incomplete or invalid CloudFront settings are refused by variable name', () => {
  const { environment } = api
  for (const [variables, variableName] of [
    [{ CDN_ORIGIN: 'https://d1.cloudfront.net' }, /CDN_KEY_PAIR_ID/],
    [
      { CDN_ORIGIN: 'https://d1.cloudfront.net', CDN_KEY_PAIR_ID: 'K1', CDN_PRIVATE_KEY: 'bm8=' },
      /CDN_PRIVATE_KEY/,
    ],
    [{ CDN_ORIGIN: 'http://d1.cloudfront.net' }, /CDN_ORIGIN/],
  ] as const) {
    assert.throws(() => readConfig({ ...environment, ...variables }), variableName)
  }
})

test.run()
