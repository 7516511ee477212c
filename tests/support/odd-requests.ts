import fc from 'fast-check'
import type { Route } from './app-routes.ts'

/** A request as bytes, with its method and URL. */
export type OddRequest = { method: string; url: string; bytes: Buffer }

/** A session's cookie, the ids of its uploads, and the `Authorization` of a tenant's administrator. */
export type SessionUploads = { cookie: string; ids: string[]; authorization: string }

/** Stands for a session and its uploads, since many requests end the one or the other. See `withSession`. */
const placeholders: SessionUploads = {
  cookie: 'session=placeholder',
  authorization: 'Bearer placeholder-of-a-key',
  ids: [0, 1, 2].map((number) => `00000000-0000-7000-8000-00000000000${number}`),
}

type Parts = {
  method: string
  target: string
  headers: [name: string, value: string][]
  body: Buffer
  framing: Framing
}
type Framing = 'right' | 'too long' | 'too short' | 'chunked' | 'bad chunks' | 'none' | 'both'

/** Header values that the HTTP parser accepts. */
const headerText = fc
  .array(fc.integer({ min: 0x20, max: 0xff }), { maxLength: 40 })
  .map((codes) => String.fromCharCode(...codes.filter((code) => code !== 0x7f)).trim())

const junk = fc.oneof(
  fc.string({ maxLength: 60 }),
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.constantFrom(
    '',
    '0',
    '-1',
    '1e400',
    'NaN',
    'null',
    '[]',
    '{}',
    'true',
    '../..',
    '%00',
    '%',
    '__proto__',
    'ü',
  ),
  fc.constantFrom('9007199254740993', '%c0%ae', '%F0%9F%98%80', 'constructor', 'x'.repeat(300)),
)

/** Text that no field accepts: halves of surrogate pairs, NUL and other control characters. */
const refusedText = fc.constantFrom(
  '\ud800',
  'a\udfff.png',
  '\udc00\ud800',
  '\0',
  'a\0b',
  '\r\nx: y',
  '\u007f',
)

/** Unusual text that is valid as a file name and in metadata. */
const oddText = fc.oneof(
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
  fc.constantFrom(
    'ü',
    '😀',
    '\u202egnp.exe',
    'e\u0301',
    '\ufffd',
    '\ufeff',
    '..',
    '../../etc/passwd',
    'a\\b',
    ' ',
  ),
  fc.constantFrom(
    '"',
    "'",
    '`',
    ';',
    '<b>',
    '$(x)',
    '%',
    '%00',
    '%0d%0a',
    'a=b&c',
    'x'.repeat(200),
    '__proto__',
  ),
)

/** Mostly this value, so that requests with several fields pass the validation and reach their handler. */
const mostly = <T>(valid: T | fc.Arbitrary<T>, odd: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
  fc.oneof(
    { weight: 12, arbitrary: valid instanceof fc.Arbitrary ? valid : fc.constant(valid) },
    { weight: 1, arbitrary: odd },
  )

const text = fc.oneof(
  { weight: 5, arbitrary: fc.constant('x.png') },
  { weight: 5, arbitrary: oddText },
  { weight: 1, arbitrary: refusedText },
  { weight: 1, arbitrary: junk },
)

const samples: Record<string, string[]> = {
  'content-type': [
    ...[
      'application/json',
      'application/json; charset=utf-16',
      'text/plain',
      'application/octet-stream',
      'image/png',
    ],
    ...[
      'multipart/form-data; boundary=b',
      'multipart/form-data',
      'multipart/form-data; boundary=',
      'a/b;;;',
      '/',
    ],
    ...['application/offset+octet-stream', 'application/x-www-form-urlencoded', 'application/problem+json'],
  ],
  'content-encoding': ['gzip', 'identity', 'br, gzip'],
  'content-disposition': [
    'attachment; filename="x.png"',
    "attachment; filename*=UTF-8''%ff",
    'inline',
    'filename=',
  ],
  authorization: [
    'Bearer x',
    'Bearer ',
    'Basic dTpw',
    'Bearer mr_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG',
  ],
  cookie: [
    'millrace=',
    'millrace=AAAA;BBBB',
    'millrace=%',
    '__Host-millrace=x',
    ';;;=',
    'millrace=a; millrace=b',
  ],
  'idempotency-key': ['a', '"a"', '', 'ü'],
  'last-event-id': ['0', '1-1', '9999999999999-9', 'x'.repeat(100)],
  'if-none-match': ['*', '"x"'],
  range: ['bytes=0-', 'bytes=9-1', 'bytes=0-0,1-1,2-2'],
  origin: ['null', 'http://localhost:3000', 'https://elsewhere.example'],
  'sec-fetch-site': ['cross-site', 'same-origin'],
  expect: ['100-continue', 'tea'],
  host: ['localhost', 'rebind.evil.test'],
  upgrade: ['websocket', 'h2c'],
  'accept-version': ['1.x'],
  'x-forwarded-for': ['1.2.3.4', ':::', ',,,'],
  'x-http-method-override': ['PATCH', 'DELETE', 'HEAD', 'patch', 'OPTIONS', 'PATCH, DELETE', ''],
  traceparent: ['00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', '00'],
  'access-control-request-method': ['POST'],
  'tus-resumable': ['1.0.0', '0.2.2'],
  'upload-length': ['0', '10', '-1', '99999999999999999999', '9007199254740993', '1e3', '1.5', '', 'x'],
  'upload-offset': ['0', '3', '-1', '5e-324', '007', '', 'x'],
  'upload-metadata': ['filename eC5wbmc=', 'filename', 'a b c', ',', 'filename ////,filename ////'],
  'upload-defer-length': ['1', '2'],
  'upload-concat': ['partial', 'final;/tus/a /tus/b'],
  'upload-checksum': ['sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk=', 'md5 x', 'none', 'sha1 ', ' ', 'sha1 a b'],
}

const header = fc
  .constantFrom(...Object.entries(samples))
  .chain(([name, values]) =>
    fc
      .oneof({ weight: 4, arbitrary: fc.constantFrom(...values) }, { weight: 1, arbitrary: headerText })
      .map((value): [string, string] => [name, value]),
  )

/** Valid tus headers, so that the handler processes the other, malformed parts of the request. */
const tusHeaders: fc.Arbitrary<[string, string][]> = fc
  .tuple(
    fc.constantFrom('0', '3', '10'),
    fc.constantFrom('1', '20', '30000000'),
    fc.subarray(['upload-length', 'upload-offset', 'content-type']),
  )
  .map(([offset, length, names]) => [
    ['tus-resumable', '1.0.0'],
    ...Object.entries({
      'upload-length': length,
      'upload-offset': offset,
      'content-type': 'application/offset+octet-stream',
    }).filter(([name]) => names.includes(name)),
  ])

const MiB = 1024 ** 2
const metadata = fc.dictionary(fc.constantFrom('title', 'a.b', 'x_1', 'constructor', '-'), text, {
  maxKeys: 3,
})
const partNumber = mostly(
  fc.integer({ min: 1, max: 3 }),
  fc.oneof(fc.integer({ min: -1, max: 10_001 }), junk),
)
const etag = mostly('"0123456789abcdef0123456789abcdef"', junk)
const size = mostly(fc.constantFrom<unknown>(5, 20 * MiB), fc.oneof(fc.double(), fc.maxSafeInteger(), junk))
const preset = mostly('default', junk)
const sourceUrl = fc.constantFrom(
  'http://127.0.0.1:1/x',
  'file:///etc/passwd',
  'http://[::ffff:7f00:1]/',
  'x',
  '\ud800',
)
const optionalFields = {
  preset,
  sha256: mostly('0'.repeat(64), junk),
  metadata: mostly(metadata, fc.jsonValue()),
}

const uploadIds = fc.array(mostly(placeholders.ids[0], junk), { minLength: 1, maxLength: 3 })

/** The JSON bodies of routes, by their URLs. */
const bodies: Record<string, fc.Arbitrary<object>> = {
  '/uploads': fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record(
        { filename: text, contentType: mostly('image/png', junk), size, ...optionalFields },
        { requiredKeys: ['filename', 'contentType', 'size'] },
      ),
    },
    {
      weight: 1,
      arbitrary: fc.record({ sourceUrl, filename: text, ...optionalFields }, { requiredKeys: ['sourceUrl'] }),
    },
  ),
  '/uploads/:id/parts': fc.record({ partNumbers: fc.array(partNumber, { minLength: 1, maxLength: 5 }) }),
  '/uploads/:id/complete': fc.record({
    parts: fc.array(fc.record({ partNumber, etag }), { minLength: 1, maxLength: 3 }),
  }),
  '/uploads/:id/reprocess': fc.record({ preset }, { requiredKeys: [] }),
  '/uploads/:id': fc.record({ filename: text, metadata }, { requiredKeys: [] }),
  '/uploads/delete': fc.record({ ids: uploadIds }),
  '/uploads/reprocess': fc.oneof(
    fc.record({ ids: uploadIds }),
    fc.record({ filter: fc.record({ state: mostly(['ready'], junk), prefix: text }, { requiredKeys: [] }) }),
  ),
  '/tokens': fc.record(
    { user: text, expiresIn: mostly(60, junk), scopes: mostly(['uploads:read'], junk), metadata },
    { requiredKeys: ['user', 'expiresIn', 'scopes'] },
  ),
  '/keys': fc.record(
    { scopes: mostly(['uploads:read'], junk), description: text },
    { requiredKeys: ['scopes'] },
  ),
  '/admin/dead-letters/redrive': fc.record({ limit: mostly(1, junk) }, { requiredKeys: [] }),
  '/webhooks': fc.record(
    { url: mostly('https://example.com/', junk), events: mostly(['upload.ready'], junk), description: text },
    { requiredKeys: ['url', 'events'] },
  ),
  '/webhooks/:id': fc.record({ description: text, enabled: mostly(false, junk) }, { requiredKeys: [] }),
  '/session': fc.record({ user: text }),
  '/session/key': fc.record({ key: text }),
  '/uppy/s3/multipart': fc.record({
    filename: text,
    type: mostly('image/png', junk),
    metadata: fc
      .tuple(size, metadata, fc.record({ name: text, relativePath: fc.constant(null) }, { requiredKeys: [] }))
      .map(([fileSize, pairs, uppyFields]) => ({ size: fileSize, ...pairs, ...uppyFields })),
  }),
  '/uppy/s3/multipart/:id/complete': fc.record({
    parts: fc.array(fc.record({ PartNumber: partNumber, ETag: etag }), { minLength: 1, maxLength: 3 }),
  }),
}

/**
 * Writes an object as JSON, sometimes with one of its names twice. `JSON.stringify` writes half a surrogate pair as an
 * escape.
 */
function jsonOf(fields: fc.Arbitrary<object>): fc.Arbitrary<Buffer> {
  return fc
    .tuple(fields, mostly<unknown>(undefined, fc.tuple(fc.nat(), fc.oneof(junk, refusedText))))
    .map(([object, repeated]) => {
      const json = JSON.stringify(object)
      const names = [...Object.keys(object), '__proto__']
      if (!Array.isArray(repeated)) return Buffer.from(json)
      const [index, value]: unknown[] = repeated
      const name = names[Number(index) % names.length]
      return Buffer.from(json.replace('{', `{${JSON.stringify(name)}:${JSON.stringify(value)},`))
    })
}

/** Text as bytes, each as one character: in UTF-8, or as bytes that are not UTF-8. */
const textBytes = fc.oneof(
  text.map((value) => Buffer.from(String(value)).toString('latin1')),
  fc.constantFrom('\xed\xa0\x80.png', '\xff\xfe', 'a\0b', '\xc0\xae'),
)

const formPart = fc
  .record({
    disposition: fc.oneof(
      { weight: 4, arbitrary: textBytes.map((name) => `form-data; name="file"; filename="${name}"`) },
      {
        weight: 1,
        arbitrary: fc.constantFrom(
          'form-data; name="file"; filename="x.png"',
          'form-data; name="file"; filename*=UTF-8\'\'%ED%A0%80',
          'form-data; name="preset"',
          'form-data',
          '',
        ),
      },
      { weight: 1, arbitrary: headerText.map((name) => `form-data; name="${name}"; filename="${name}"`) },
    ),
    type: fc.constantFrom('image/png', 'text/html', '', '/'),
    content: fc.string({ unit: 'binary', maxLength: 50 }),
  })
  .map(
    (part) =>
      `--b\r\ncontent-disposition: ${part.disposition}\r\ncontent-type: ${part.type}\r\n\r\n${part.content}`,
  )

/** Fields of a form for `POST /upload`, before its file. */
const formField = fc
  .tuple(
    fc.constantFrom('metadata', 'preset', 'sha256', 'other'),
    fc.oneof(
      metadata.map((pairs) => JSON.stringify(pairs)),
      textBytes,
    ),
  )
  .map(([name, value]) => `--b\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}`)

const formBody = fc
  .tuple(
    fc.array(formField, { maxLength: 2 }),
    fc.array(formPart, { minLength: 1, maxLength: 2 }),
    mostly('\r\n--b--\r\n', fc.constantFrom('\r\n--b', '', '\r\n--b--')),
  )
  .map(([fields, parts, end]) => Buffer.from([...fields, ...parts].join('\r\n') + end, 'latin1'))

const anyBody = fc.oneof(
  { weight: 3, arbitrary: jsonOf(fc.oneof(...Object.values(bodies))) },
  { weight: 1, arbitrary: fc.json().map((json) => Buffer.from(json)) },
  { weight: 1, arbitrary: junk.map((value) => Buffer.from(value)) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom('{"__proto__":{"a":1}}', '['.repeat(9000), '{"a":'.repeat(2000), '\ufeff{}')
      .map((value) => Buffer.from(value)),
  },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)) },
  { weight: 1, arbitrary: formBody },
)

type Content = { type: string | undefined; body: Buffer }

/** The body of `DELETE /upload`: an id, or a response of `POST /upload`. Browsers send it as text, or without a type. */
const revert: fc.Arbitrary<Content> = fc
  .tuple(
    fc.constantFrom('text/plain;charset=UTF-8', 'application/json', undefined),
    uploadIds,
    fc.oneof(
      fc.constant((ids: unknown[]) => String(ids[0])),
      fc.constant((ids: unknown[]) => JSON.stringify(ids[0])),
      fc.constant((ids: unknown[]) => JSON.stringify({ id: ids[0] })),
      fc.constant((ids: unknown[]) => JSON.stringify({ uploads: ids.map((id) => ({ id })) })),
    ),
  )
  .map(([type, ids, write]) => ({ type, body: Buffer.from(write(ids)) }))

/** A body as the route expects it, with odd values. */
function expectedContent({ url, method, readsJson }: Route): fc.Arbitrary<Content> {
  const json = ['POST', 'PUT', 'PATCH'].includes(method) ? bodies[url] : undefined
  if (json) return jsonOf(json).map((body) => ({ type: 'application/json', body }))
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 300 }).map((values) => Buffer.from(values))
  if (url === '/upload' && method === 'DELETE') return revert
  if (url === '/upload' || url === '/upload/*') {
    return fc.oneof(
      bytes.map((body) => ({ type: 'image/png', body })),
      formBody.map((body) => ({ type: 'multipart/form-data; boundary=b', body })),
    )
  }
  // tus' content type is one of its headers.
  if (!readsJson) return bytes.map((body) => ({ type: undefined, body }))
  return fc.constant({ type: undefined, body: Buffer.alloc(0) })
}

const contentOf = (route: Route): fc.Arbitrary<Content> =>
  fc.oneof(
    { weight: 8, arbitrary: expectedContent(route) },
    {
      weight: 1,
      arbitrary: fc.record({ type: fc.constantFrom('application/json', undefined), body: anyBody }),
    },
  )

/** The query of a file that is the body of its request. */
const fileQuery = (requiredKeys: 'filename'[]): fc.Arbitrary<object> =>
  fc.record(
    {
      filename: text,
      preset,
      sha256: optionalFields.sha256,
      metadata: mostly(
        metadata.map((pairs) => JSON.stringify(pairs)),
        junk,
      ),
    },
    { requiredKeys },
  )

/** The queries of routes, by their URLs. */
const queries: Record<string, fc.Arbitrary<object>> = {
  '/uploads': fc.record(
    { limit: mostly(fc.constantFrom('1', '50', '200'), junk), cursor: mostly(fc.uuid({ version: 7 }), text) },
    { requiredKeys: [] },
  ),
  '/upload': fileQuery(['filename']),
  '/upload/*': fileQuery([]),
  '/users': fc.record({ user: text }),
  '/uppy/s3/params': fc.record(
    { filename: text, type: mostly('image/png', junk), 'metadata[size]': size, 'metadata[title]': text },
    { requiredKeys: ['filename', 'metadata[size]'] },
  ),
}

function queryOf({ url, method }: Route): fc.Arbitrary<string> {
  // DELETE /upload has no query: its body names what is erased.
  const sendsFile = method !== 'DELETE' || url !== '/upload'
  const expected = (sendsFile && queries[url]) || fc.constant({})
  const pairs = fc.array(
    fc.tuple(fc.constantFrom('limit', 'cursor', 'filename', 'preset', 'metadata', '__proto__', 'a[]'), text),
    { maxLength: 4 },
  )
  return fc.oneof(
    {
      weight: 18,
      arbitrary: expected.map((fields) => writeQuery(Object.entries(fields))),
    },
    { weight: 1, arbitrary: pairs.map(writeQuery) },
    { weight: 1, arbitrary: junk.map((value) => `?${printable(value)}`) },
  )
}

function writeQuery(pairs: [name: string, value: unknown][]): string {
  if (pairs.length === 0) return ''
  return `?${pairs.map(([name, value]) => `${name}=${percentEncode(String(value))}`).join('&')}`
}

/** Percent-encodes like `encodeURIComponent`, and half a surrogate pair as the three bytes that it would have in UTF-8. */
function percentEncode(value: string): string {
  return Array.from(value, (character) => {
    if (character.isWellFormed()) return encodeURIComponent(character)
    const unit = character.charCodeAt(0)
    const bytes = [0xe0 | (unit >> 12), 0x80 | ((unit >> 6) & 0x3f), 0x80 | (unit & 0x3f)]
    return bytes.map((byte) => `%${byte.toString(16)}`).join('')
  }).join('')
}

/** Valid values of the path parameters other than ids, by their names. */
const parameters: Record<string, string[]> = {
  name: ['thumb', 'original'],
  partNumber: ['1', '2', '0', '10001'],
  // Each costs so many ms of CPU, so no other values are tried.
  ms: ['0', '1', '-1', '5'],
}

/**
 * Generates requests to these routes: methods, paths, queries, headers, cookies, JSON and form bodies, and HTTP framing.
 * Most requests have one odd thing, in a field, a header or the framing, so that most of them reach a handler.
 * Many belong to a session and its uploads: `withSession` adds these.
 *
 * @param routes the app's routes
 */
export function oddRequests(routes: Route[]): fc.Arbitrary<OddRequest> {
  const id = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...placeholders.ids) },
    { weight: 1, arbitrary: fc.uuid({ version: 7 }) },
    { weight: 1, arbitrary: text.map((value) => percentEncode(String(value))) },
    { weight: 1, arbitrary: junk.map(printable) },
  )
  const parameterOf = (name: string) => {
    const values = parameters[name]
    if (!values) return id
    const valid = fc.constantFrom(...values)
    return name === 'ms' ? valid : mostly(valid, junk.map(printable)).map(String)
  }
  const targetOf = (route: Route) => {
    const names = Array.from(route.url.matchAll(/:(\w+)|\*/g), ([, name = '*']) => name)
    return fc
      .tuple(fc.tuple(...names.map(parameterOf)), queryOf(route))
      .map(([values, query]) => route.url.replace(/:\w+|\*/g, () => values.shift() ?? '') + query)
  }
  const session: fc.Arbitrary<[string, string][]> = fc.oneof(
    { weight: 3, arbitrary: fc.constant<[string, string][]>([['cookie', placeholders.cookie]]) },
    { weight: 1, arbitrary: fc.constant<[string, string][]>([]) },
  )
  const key: fc.Arbitrary<[string, string][]> = fc.constant([['authorization', placeholders.authorization]])
  const credentialOf = ({ scope }: Route) =>
    scope === 'tenant' || scope === 'tokens'
      ? fc.oneof({ weight: 4, arbitrary: key }, { weight: 1, arbitrary: session })
      : session
  const headers = fc.oneof(
    { weight: 3, arbitrary: fc.constant<[string, string][]>([]) },
    { weight: 2, arbitrary: fc.array(header, { minLength: 1, maxLength: 2 }) },
  )
  const anyMethod = fc.constantFrom(
    'GET',
    'HEAD',
    'POST',
    'PUT',
    'PATCH',
    'DELETE',
    'OPTIONS',
    'TRACE',
    'PROPFIND',
  )
  // Most routes read, but most errors are in those that write. So the latter are chosen more often.
  const writing = routes.filter(({ method }) => !['GET', 'HEAD', 'OPTIONS'].includes(method))
  const anyRoute = fc.oneof(fc.constantFrom(...routes), fc.constantFrom(...writing))
  const parts = anyRoute.chain((route) =>
    fc
      .record({
        method: fc.oneof(
          { weight: 15, arbitrary: fc.constant(route.method) },
          { weight: 1, arbitrary: anyMethod },
        ),
        target: targetOf(route),
        headers: fc.tuple(
          credentialOf(route),
          route.url.startsWith('/tus') ? tusHeaders : fc.constant([]),
          headers,
        ),
        content: contentOf(route),
        framing: fc.oneof(
          { weight: 12, arbitrary: fc.constant<Framing>('right') },
          { weight: 1, arbitrary: fc.constant<Framing>('chunked') },
          {
            weight: 1,
            arbitrary: fc.constantFrom<Framing>('too long', 'too short', 'bad chunks', 'none', 'both'),
          },
        ),
      })
      .map(
        ({ headers: groups, content, ...request }): Parts => ({
          ...request,
          headers: [
            ...(content.type === undefined ? [] : [['content-type', content.type] as [string, string]]),
            ...groups.flat(),
          ],
          body: content.body,
        }),
      ),
  )
  const damage = fc.oneof(
    { weight: 12, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.tuple(fc.nat(), fc.uint8Array({ maxLength: 4 }), fc.nat(4)) },
  )
  return fc.tuple(parts, damage).map(([request, damaged]) => {
    const whole = write(request)
    if (!damaged) return { method: request.method, url: request.target, bytes: whole }
    const [at, inserted, dropped] = damaged
    const place = at % whole.length
    const bytes = Buffer.concat([whole.subarray(0, place), inserted, whole.subarray(place + dropped)])
    return { method: request.method, url: request.target, bytes }
  })
}

/**
 * Returns a generated request with the cookie and the uploads of a session.
 *
 * @param session has three uploads
 */
export function withSession(request: OddRequest, session: SessionUploads): OddRequest {
  const names = [placeholders.cookie, placeholders.authorization, ...placeholders.ids]
  const values = [session.cookie, session.authorization, ...session.ids]
  const replace = (text: string) =>
    names.reduce((rest, name, index) => rest.replaceAll(name, values[index] ?? ''), text)
  return {
    method: request.method,
    url: replace(request.url),
    bytes: Buffer.from(replace(request.bytes.toString('latin1')), 'latin1'),
  }
}

function write({ method, target, headers, body, framing }: Parts): Buffer {
  const size = body.length
  const lengths: Record<Framing, string[]> = {
    right: [`content-length: ${size}`],
    'too long': [`content-length: ${size + 10}`],
    'too short': [`content-length: ${Math.max(size - 10, 0)}`],
    chunked: ['transfer-encoding: chunked'],
    'bad chunks': ['transfer-encoding: chunked'],
    none: [],
    both: [`content-length: ${size}`, 'transfer-encoding: chunked'],
  }
  const lines = headers.map(([name, value]) => `${name}: ${value}`)
  const head = [
    `${method} ${target} HTTP/1.1`,
    'host: localhost',
    'connection: close',
    ...lines,
    ...lengths[framing],
  ]
  const chunks =
    framing === 'chunked'
      ? [Buffer.from(`${size.toString(16)}\r\n`), body, Buffer.from('\r\n0\r\n\r\n')]
      : [body]
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1'), ...chunks])
}

/** Replaces characters that would end the request line early. */
function printable(text: string): string {
  return text.replace(/[^!-~]/g, '%')
}
