import fc from 'fast-check'
import type { Route } from './app-routes.ts'

/** A request as bytes, with its method and URL. */
export type OddRequest = { method: string; url: string; bytes: Buffer }

/** A session's cookie, and the ids of its uploads. */
export type SessionUploads = { cookie: string; ids: string[] }

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

const announcement = fc.record({
  filename: fc.oneof({ weight: 6, arbitrary: fc.constant('x.png') }, junk),
  contentType: fc.oneof({ weight: 6, arbitrary: fc.constant('image/png') }, junk),
  size: fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom<unknown>(5, 20 * 1024 ** 2) },
    fc.double(),
    fc.maxSafeInteger(),
    junk,
  ),
  preset: fc.oneof({ weight: 6, arbitrary: fc.constant('default') }, junk),
  sha256: fc.oneof({ weight: 6, arbitrary: fc.constant('0'.repeat(64)) }, junk),
  metadata: fc.oneof(fc.dictionary(junk, junk, { maxKeys: 4 }), fc.jsonValue()),
  sourceUrl: fc.constantFrom('http://127.0.0.1:1/x', 'file:///etc/passwd', 'http://[::ffff:7f00:1]/', 'x'),
  partNumbers: fc.oneof(fc.array(fc.integer({ min: -1, max: 10_001 }), { maxLength: 5 }), fc.jsonValue()),
  parts: fc.array(fc.record({ partNumber: fc.integer({ min: -1, max: 10_001 }), etag: junk }), {
    maxLength: 3,
  }),
  user: junk,
})

/** The fields of these routes' bodies. Bodies for other routes have any of them. */
const fieldsOf: Record<string, string[]> = {
  '/uploads': ['filename', 'contentType', 'size'],
  '/uploads/:id/parts': ['partNumbers'],
  '/uploads/:id/complete': ['parts'],
  '/uploads/:id/reprocess': ['preset'],
  '/session': ['user'],
}

function pick(all: object, names: string[]): Buffer {
  return Buffer.from(
    JSON.stringify(Object.fromEntries(Object.entries(all).filter(([name]) => names.includes(name)))),
  )
}

const anyFields = fc
  .tuple(
    announcement,
    fc.subarray(['filename', 'contentType', 'size', 'preset', 'sha256', 'metadata', 'sourceUrl']),
  )
  .map(([all, names]) => pick(all, names))

const formPart = fc
  .record({
    disposition: fc.oneof(
      fc.constantFrom(
        'form-data; name="file"; filename="x.png"',
        'form-data; name="preset"',
        'form-data',
        '',
      ),
      headerText.map((text) => `form-data; name="${text}"; filename="${text}"`),
    ),
    type: fc.constantFrom('image/png', 'text/html', '', '/'),
    content: fc.string({ unit: 'binary', maxLength: 50 }),
  })
  .map(
    (part) =>
      `--b\r\ncontent-disposition: ${part.disposition}\r\ncontent-type: ${part.type}\r\n\r\n${part.content}`,
  )

const anyBody = fc.oneof(
  { weight: 4, arbitrary: anyFields },
  { weight: 1, arbitrary: fc.json().map((text) => Buffer.from(text)) },
  { weight: 1, arbitrary: junk.map((text) => Buffer.from(text)) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom('{"__proto__":{"a":1}}', '['.repeat(9000), '{"a":'.repeat(2000), '\ufeff{}')
      .map((text) => Buffer.from(text)),
  },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(
        fc.array(formPart, { maxLength: 3 }),
        fc.constantFrom('\r\n--b--\r\n', '\r\n--b', '', '\r\n--b--'),
      )
      .map(([parts, end]) => Buffer.from(parts.join('\r\n') + end)),
  },
)

function bodyFor({ url }: Route): fc.Arbitrary<Buffer> {
  const names = fieldsOf[url]
  return names
    ? fc.oneof(
        anyBody,
        announcement.map((all) => pick(all, names)),
      )
    : anyBody
}

const query = fc.oneof(
  { weight: 3, arbitrary: fc.constant('') },
  {
    weight: 2,
    arbitrary: fc
      .array(
        fc.tuple(
          fc.constantFrom('limit', 'cursor', 'filename', 'preset', 'sha256', 'metadata', '__proto__', 'a[]'),
          junk,
        ),
        { maxLength: 4 },
      )
      .map(
        (pairs) =>
          `?${pairs.map(([name, value]) => `${name}=${encodeURIComponent(value.toWellFormed())}`).join('&')}`,
      ),
  },
  { weight: 1, arbitrary: junk.map((text) => `?${printable(text)}`) },
)

/**
 * Generates requests to these routes that are partly valid and partly malformed: methods, paths, queries, headers,
 * cookies, JSON and form bodies, and HTTP framing.
 *
 * @param routes the app's routes
 * @param uploads a session's cookie and its uploads; some requests use them, to pass authorization
 */
export function oddRequests(routes: Route[], uploads: SessionUploads): fc.Arbitrary<OddRequest> {
  const parameter = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(...uploads.ids) },
    { weight: 1, arbitrary: fc.uuid({ version: 7 }) },
    { weight: 2, arbitrary: junk.map((text) => encodeURIComponent(text.toWellFormed())) },
    { weight: 1, arbitrary: junk.map(printable) },
  )
  const session: fc.Arbitrary<[string, string][]> = fc.constantFrom([['cookie', uploads.cookie]], [])
  const jsonOrNot: fc.Arbitrary<[string, string][]> = fc.constantFrom(
    [['content-type', 'application/json']],
    [],
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
    fc.record<Parts>({
      method: fc.oneof(
        { weight: 5, arbitrary: fc.constant(route.method) },
        { weight: 1, arbitrary: anyMethod },
      ),
      target: fc
        .tuple(fc.array(parameter, { minLength: 2, maxLength: 2 }), query)
        .map(([values, tail]) => route.url.replace(/:\w+|\*/g, () => values.pop() ?? '') + tail),
      headers: fc
        .tuple(
          session,
          route.url.startsWith('/tus') ? tusHeaders : jsonOrNot,
          fc.array(header, { maxLength: 3 }),
        )
        .map((groups) => groups.flat()),
      body: bodyFor(route),
      framing: fc.oneof(
        { weight: 6, arbitrary: fc.constant<Framing>('right') },
        fc.constantFrom<Framing>('too long', 'too short', 'chunked', 'bad chunks', 'none', 'both'),
      ),
    }),
  )
  const damage = fc.oneof(
    { weight: 5, arbitrary: fc.constant(undefined) },
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
