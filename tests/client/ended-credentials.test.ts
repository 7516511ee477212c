import { randomBytes } from 'node:crypto'
import { parseAmzDate } from '@millrace/local-s3/signing/signature-v4.ts'
import { parseOriginalKey } from '@millrace/shared/ledger/object-keys.ts'
import { createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import * as assert from 'uvu/assert'
import { createHttpClient } from '../support/http-client.ts'
import { createRole } from '../support/instance-role.ts'
import type { ProxyAction } from '../support/s3-proxy.ts'
import { announce, formOf, sendForm } from '../support/send-upload.ts'
import { suite } from '../support/suite.ts'
import { type ApiWithS3Proxy, startApiWithS3Proxy } from './support/api-with-s3-proxy.ts'

const test = suite('credentials that end while a file is sent')
const MiB = 1024 ** 2
const minuteMs = 60_000
const large = randomBytes(16 * MiB + 1)
const role = createRole()
let current: ReturnType<typeof role.issue>
let s: ApiWithS3Proxy

/** The API's role gets credentials whose end is so near that the SDK asks for newer ones before each signature. */
const issueEnding = () => {
  current = role.issue(Date.now() + 4 * minuteMs)
}

/** S3 accepts nothing any more that was signed so far. The API finds newer credentials. */
const endCredentials = () => {
  role.endAll()
  issueEnding()
}

test.before(async () => {
  s = await startApiWithS3Proxy({ credentials: async () => current, find: role.find })
})
test.before.each(issueEnding)
test.after(() => s.close())

test('a small file is announced again, as a PUT and as a form, and stays one upload', async () => {
  for (const transport of ['put', 'form']) {
    const sent = s.watchBodies(({ count }) => {
      if (count === 1) endCredentials()
      return 'pass'
    })
    const statuses: number[] = []
    const client = s.client({
      // An instance of the version before knows forms only.
      async answer(request) {
        if (transport === 'put' || !(await request.clone().text()).includes('transport')) return undefined
        const errors = [{ field: 'transport', message: 'is not a known field' }]
        return Response.json({ code: 'invalid_request', detail: '', errors }, { status: 400 })
      },
      async change(_, response) {
        statuses.push(response.status)
        return response
      },
    })
    await client.api.GET('/session')
    const { id } = await client.upload(new Blob(['7 bytes']))
    assert.is(sent.length, 2)
    const { bytes, versions } = await s.readOriginal(id)
    assert.equal([String(bytes), versions], ['7 bytes', 1])
    const { data } = await client.api.GET('/uploads', { params: { query: { limit: 10 } } })
    assert.is(data?.uploads.length, 1)
  }
})

test('parts are signed again, and those that S3 has are kept', async () => {
  const first = Promise.withResolvers<void>()
  const sent = s.watchBodies(async ({ part, count }): Promise<ProxyAction> => {
    if (part === 1 || count > 3) return 'pass'
    await first.promise
    return 'pass'
  })
  const client = s.client()
  const { id } = await client.upload(new Blob([large]), {
    onProgress(bytes) {
      // S3 has the first part. The others wait before it.
      if (bytes === 8 * MiB) endCredentials()
      if (bytes >= 8 * MiB) first.resolve()
    },
  })
  assert.equal(sent.toSorted(), [1, 2, 2, 3, 3])
  assert.equal(
    [...new Set(client.calls)],
    ['POST /uploads', 'POST /uploads/ID/parts', 'POST /uploads/ID/complete'],
  )
  assert.ok((await s.readOriginal(id)).bytes?.equals(large))
})

test('a redirect to a file is not cached for longer than its URL is valid', async () => {
  const client = createHttpClient(s.api.url)
  const announced = await announce(client, 7)
  await sendForm(formOf(announced), new Uint8Array(7))
  const address = parseOriginalKey(formOf(announced).fields['key'] ?? '')
  if (!address) throw new Error('The form has no key of an original.')
  const records = createUploadRecords({ redis: s.api.redis, prefix: s.api.prefix })
  const arrival = { etag: 'etag', versionId: 'version', size: 7 }
  await records.update(address, (upload) => ({ ...upload, state: 'ready', arrival }))
  const beforeMs = Date.now()
  const { status, headers } = await client.get(`/uploads/${announced.id}/original`)
  assert.is(status, 302)
  const [, text = ''] = /^private, max-age=(\d+)$/.exec(headers.get('cache-control') ?? '') ?? []
  const signed = new URL(headers.get('location') ?? '').searchParams
  const endsAtMs = parseAmzDate(signed.get('X-Amz-Date') ?? '') + Number(signed.get('X-Amz-Expires')) * 1000
  assert.ok(endsAtMs < current.expiration.getTime())
  // As long as the URL is valid, in whole seconds: its time and its life are such as well.
  const seconds = Number(text)
  const [least, most] = [endsAtMs - Date.now() - 2_000, endsAtMs - beforeMs]
  assert.ok(seconds * 1000 <= most && seconds * 1000 >= least, `${seconds} s, not ${least} to ${most} ms`)
})

test.run()
