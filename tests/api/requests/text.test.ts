import { Problem } from '@millrace/api/requests/problem.ts'
import { Announced } from '@millrace/api/uploads/upload-routes.ts'
import { UploadView } from '@millrace/api/uploads/upload-view.ts'
import { Value } from 'typebox/value'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient, type HttpClient, type HttpResponse } from '../../support/http-client.ts'
import { suite } from '../../support/suite.ts'

const test = suite('text')
const file = { filename: 'a.txt', contentType: 'text/plain', size: 9 }
let api: ApiInstances
let client: HttpClient

test.before(async () => {
  api = await startApiInstances()
})
test.before.each(() => {
  client = createHttpClient(api.url)
})
test.after(() => api.close())

/** Sends JSON text, so that it may have escapes that `JSON.stringify` would not write. */
const sendJson = (path: string, body: string, method = 'POST') =>
  client.request(method, path, { body, headers: { 'content-type': 'application/json' } })

const json = (fields: object) => JSON.stringify({ ...file, ...fields })

function assertRefused(response: HttpResponse, field: string, input: string) {
  assert.is(response.status, 400, input)
  const { code, errors } = bodyOf(response, Problem)
  assert.is(code, 'invalid_request', input)
  assert.is(errors?.[0]?.field, field, input)
}

/** Each is one character that no text may contain. */
const refused = ['\ud800', '\udfff', '\udc00\ud800', '\0']

test('JSON with half a surrogate pair or NUL in any text is 400 and names the field', async () => {
  for (const text of refused) {
    const cases: [path: string, body: object, field: string, method?: string][] = [
      ['/uploads', { ...file, filename: `a${text}` }, 'filename'],
      ['/uploads', { ...file, metadata: { title: text } }, 'metadata.title'],
      ['/uploads', { sourceUrl: `http://files.test/${text}` }, 'sourceUrl'],
      ['/session', { user: `x${text}` }, 'user', 'PUT'],
      ['/uppy/s3/multipart', { filename: text, type: 'a/b', metadata: { size: 9 } }, 'filename'],
      ['/uppy/s3/multipart', { filename: 'a', type: text, metadata: { size: 9 } }, 'type'],
      [
        '/uppy/s3/multipart',
        { filename: 'a', type: '', metadata: { size: 9, title: text } },
        'metadata.title',
      ],
      ['/uppy/s3/multipart', { filename: 'a', type: '', metadata: { size: 9, [text]: 'x' } }, 'metadata'],
    ]
    for (const [path, body, field, method] of cases) {
      const input = JSON.stringify(body)
      assertRefused(await sendJson(path, input, method), field, `${method ?? 'POST'} ${path} ${input}`)
    }
  }
})

test('text that is JSON in a query, in a form or in tus metadata is checked as well', async () => {
  for (const text of refused) {
    const metadata = JSON.stringify({ title: text })
    const query = new URLSearchParams({ filename: 'a', metadata })
    const send = (body: string, headers: Record<string, string>, path = '/upload') =>
      client.request('POST', path, { body, headers })
    assertRefused(await send('x', { 'content-type': 'a/b' }, `/upload?${query}`), 'metadata.title', metadata)
    const form = [
      '--b\r\ncontent-disposition: form-data; name="metadata"',
      `${metadata}\r\n--b\r\ncontent-disposition: form-data; name="file"; filename="a"`,
      'x\r\n--b--\r\n',
    ]
    const multipart = { 'content-type': 'multipart/form-data; boundary=b' }
    assertRefused(await send(form.join('\r\n\r\n'), multipart), 'metadata.title', metadata)
  }
  const tus = await client.request('POST', '/tus', {
    headers: {
      'tus-resumable': '1.0.0',
      'upload-length': '9',
      'upload-metadata': `filename ${btoa('a')},title ${btoa('x\0')}`,
    },
  })
  assertRefused(tus, 'metadata.title', 'tus')
  assertRefused(
    await client.get(`/uppy/s3/params?filename=a&metadata[size]=9&metadata[title]=%00`),
    'metadata[title]',
    'Uppy',
  )
})

test('bytes that are not UTF-8 become U+FFFD in file names, and other text is kept as it is', async () => {
  const text = 'ü 😀 \ufffe\u200f\u0301.png'
  const announced = bodyOf(
    await sendJson('/uploads', json({ filename: text, metadata: { a: '\n\t\u0001' } })),
    Announced,
  )
  const view = bodyOf(await client.get(`/uploads/${announced.id}`), UploadView)
  assert.equal([view.filename, view.metadata], [text, { a: '\n\t\u0001' }])
  assert.is((await sendJson('/uploads', json({}).replace('a.txt', '\\ud83d\\ude00'))).status, 201)

  const query = await client.request('POST', '/upload?filename=%ED%A0%80.png', {
    body: 'x',
    headers: { 'content-type': 'a/b' },
  })
  assert.ok(bodyOf(query, UploadView).filename.isWellFormed())
  const part = 'content-disposition: form-data; name="file"; filename="\xed\xa0\x80.png"'
  const form = await fetch(new URL('/upload', api.url), {
    method: 'POST',
    body: Buffer.from(`--b\r\n${part}\r\n\r\nx\r\n--b--\r\n`, 'latin1'),
    headers: { 'content-type': 'multipart/form-data; boundary=b' },
  })
  assert.is(form.status, 201)
  const { filename } = Value.Parse(UploadView, await form.json())
  assert.match(filename, /^\ufffd+\.png$/)
  const tus = await client.request('POST', '/tus', {
    headers: {
      'tus-resumable': '1.0.0',
      'upload-length': '9',
      'upload-metadata': `filename ${btoa('\xed\xa0\x80')}`,
    },
  })
  assert.is(tus.status, 201)
})

test('of several JSON fields with one name the last counts, and __proto__ is refused', async () => {
  const twice = await sendJson('/uploads', json({}).replace('{', '{"filename":"\\ud800","filename":7,'))
  const { id } = bodyOf(twice, Announced)
  assert.is(bodyOf(await client.get(`/uploads/${id}`), UploadView).filename, 'a.txt')
  for (const name of ['__proto__', '\\u005f_proto__']) {
    const response = await sendJson('/uploads', json({}).replace('{', `{"${name}":{"filename":"b"},`))
    assert.is(response.status, 400, name)
  }
  const nested = await sendJson('/uploads', json({ metadata: {} }).replace('{}', '{"__proto__":{"a":"b"}}'))
  assert.is(nested.status, 400)
})

test.run()
