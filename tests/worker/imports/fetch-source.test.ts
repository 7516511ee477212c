import { readFile } from 'node:fs/promises'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { createPublicAddress } from '@millrace/shared/imports/public-address.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createFetchSource } from '@millrace/worker/imports/fetch-source.ts'
import { createSourceAddresses } from '@millrace/worker/imports/source-addresses.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { type DnsServer, startDnsServer } from '../support/dns-server.ts'
import { type SourceServer, startSourceServer } from '../support/source-server.ts'

const test = suite('fetch source')
let dns: DnsServer
/** On 127.0.0.1, which the settings permit. */
let source: SourceServer
/** On 127.0.0.2 at the same port, which the settings do not permit. */
let internal: SourceServer

test.before(async () => {
  dns = await startDnsServer()
  source = await startSourceServer()
  internal = await startSourceServer({ host: '127.0.0.2', port: source.port })
})
test.after(async () => {
  dns.close()
  await source.close()
  await internal.close()
})

function createFetch({
  networks = ['127.0.0.1/32'],
  ports = [source.port],
  idleTimeoutMs = 10_000,
  minBytesPerSecond = 0,
} = {}) {
  const isPermitted = createPublicAddress(networks)
  const sourceAddresses = createSourceAddresses({ isPermitted, dnsServers: [dns.server] })
  const fetchSource = createFetchSource({
    sourceAddresses,
    allowedPorts: ports,
    idleTimeoutMs,
    minBytesPerSecond,
  })
  return (url: string) => fetchSource(url, new AbortController().signal)
}

/** The code and the message of the error. */
async function errorOf(url: string, fetchSource = createFetch()): Promise<[code: string, message: string]> {
  try {
    const { body } = await fetchSource(url)
    body.destroy()
  } catch (error) {
    if (error instanceof AppError) return [error.code, error.message]
    throw error
  }
  throw new Error(`${url} was fetched.`)
}

async function text(url: string, fetchSource = createFetch()): Promise<string> {
  const { body } = await fetchSource(url)
  return Buffer.concat(await body.toArray()).toString()
}

const refused = [
  'source_refused',
  'Files are imported from public addresses only. This address is not public or does not exist.',
]

test('fetching a source returns its size, type and name, and sends few headers', async () => {
  dns.set('files.test', ['127.0.0.1'])
  source.on('/photo', (_request, response) => {
    const disposition = `attachment; filename="x.jpg"; filename*=UTF-8''h%C3%A4fen.jpg`
    response.writeHead(200, {
      'content-type': 'image/jpeg',
      'content-length': 5,
      'content-disposition': disposition,
    })
    response.end('bytes')
  })
  const { body, ...properties } = await createFetch()(`http://files.test:${source.port}/photo?token=a#part`)
  assert.equal(properties, { size: 5, contentType: 'image/jpeg', filename: 'häfen.jpg' })
  assert.is(Buffer.concat(await body.toArray()).toString(), 'bytes')
  const { path, headers } = source.seen.at(-1) ?? { path: '', headers: {} }
  assert.is(path, '/photo?token=a')
  assert.equal(headers, {
    accept: '*/*',
    'accept-encoding': 'identity',
    'user-agent': 'millrace',
    host: `files.test:${source.port}`,
    connection: 'close',
  })
})

test('addresses that are not public and names that do not exist are refused alike, without a connection', async () => {
  dns.set('inside.test', ['127.0.0.2'])
  dns.set('mixed.test', ['127.0.0.2', '93.184.216.34'])
  dns.set('mixed-families.test', ['93.184.216.34', '::1'])
  dns.set('mapped.test', ['::ffff:7f00:2'])
  dns.set('metadata.test', ['169.254.169.254'])
  dns.set('empty.test', [])
  const before = internal.connections
  const hosts = [
    ...['127.0.0.2', '2130706434', '0x7f000002', '0x7f.2', '0177.0.0.2', '017700000002', '127.2'],
    ...['127.0.0.2.', '127。0。0。2', '①27.0.0.2', '0.0.0.0', '10.0.0.1', '169.254.169.254'],
    ...['[::1]', '[::]', '[::ffff:127.0.0.2]', '[::ffff:7f00:2]', '[::127.0.0.2]', '[64:ff9b::7f00:2]'],
    ...['[fd00:ec2::254]', '[fe80::1]', 'ip6-localhost'],
    ...['inside.test', 'mixed.test', 'mixed-families.test', 'mapped.test', 'metadata.test'],
    ...['empty.test', 'nowhere.test', 'no_such-name.test', `${'a'.repeat(64)}.test`, 'a..test'],
  ]
  for (const host of hosts) {
    assert.equal(await errorOf(`http://${host}:${source.port}/`), refused, host)
  }
  const fetchPublic = createFetch({ networks: [] })
  for (const host of ['localhost', 'sub.localhost', 'localhost.', '127.0.0.1']) {
    assert.equal(await errorOf(`http://${host}:${source.port}/`, fetchPublic), refused, host)
  }
  const urls = [
    ...['file:///etc/passwd', 'ftp://files.test/x', 'gopher://files.test/x', 'data:,x', 'blob:http://x/y'],
    ...['', 'x', '//files.test/x', 'http://', 'http://[::1', `http://user:pass@127.0.0.1:${source.port}/`],
    ...[`http://user@127.0.0.1:${source.port}/`, 'http://127.0.0.1:22/', 'http://127.0.0.1/'],
  ]
  for (const url of urls) assert.equal(await errorOf(url), refused, url)
  assert.is(internal.connections, before)
})

test('each redirect of a source is checked like the first URL', async () => {
  const before = internal.connections
  source.on('/end', (_request, response) => response.end('here'))
  source.redirect('/relative', 'end', 307)
  source.redirect('/twice', `http://files.test:${source.port}/relative`, 301)
  assert.is(await text(source.url('/twice')), 'here')
  const targets = [
    ...[
      'http://169.254.169.254/latest/meta-data/',
      internal.url('/'),
      `http://[::ffff:127.0.0.2]:${source.port}/`,
    ],
    ...[`http://inside.test:${source.port}/`, `http://mixed.test:${source.port}/`, 'file:///etc/passwd'],
    ...['ftp://127.0.0.1/x', `//user:pass@127.0.0.1:${source.port}/end`, 'http://127.0.0.1:1/', 'http://['],
  ]
  for (const target of targets) {
    source.redirect('/away', target)
    assert.equal(await errorOf(source.url('/away')), refused, target)
  }
  assert.is(internal.connections, before)
})

/** A header's value with these characters as UTF-8, as many servers send it. Node writes header values as Latin-1. */
const rawUtf8 = (value: string) => Buffer.from(value).toString('latin1')

test('a Location with raw bytes is requested as those bytes, and what is checked is what is requested', async () => {
  const before = internal.connections
  dns.set('xn--hfen-loa.test', ['127.0.0.1'])
  dns.set('xn--hfen-inside-q5a.test', ['127.0.0.2'])
  const locations: [location: string, path: string][] = [
    [rawUtf8('/häfen/写真 1.jpg?größe=ü#Ä'), '/h%C3%A4fen/%E5%86%99%E7%9C%9F%201.jpg?gr%C3%B6%C3%9Fe=%C3%BC'],
    // Not UTF-8: the same bytes are sent back.
    ['/h\u00e4fen.jpg?\u00fc', '/h%E4fen.jpg?%FC'],
    // Encoded characters stay as they are, also beside raw ones.
    [rawUtf8('/a%20b/%C3%A4ä'), '/a%20b/%C3%A4%C3%A4'],
    [rawUtf8(`http://häfen.test:${source.port}/é`), '/%C3%A9'],
    [`//files.test:${source.port}/protocol-relative`, '/protocol-relative'],
    ['?only=query', '/raw?only=query'],
    ['sub/../relative', '/relative'],
  ]
  for (const [location, path] of locations) {
    source.redirect('/raw', location)
    source.on(new URL(path, source.url('/')).pathname, ({ url }, response) => {
      if (url === '/raw') response.writeHead(302, { location }).end()
      else response.end('here')
    })
    assert.is(await text(source.url('/raw')), 'here', location)
    assert.is(source.seen.at(-1)?.path, path)
  }
  for (const target of [
    `http://häfen-inside.test:${source.port}/`,
    `http://１２７.0.0.2:${source.port}/`,
    `http://127.0.0.2:${source.port}/ä`,
    `http://ä@127.0.0.1:${source.port}/end`,
    `http://files.test:${source.port}．evil/`,
  ]) {
    source.redirect('/away', rawUtf8(target))
    assert.equal(await errorOf(source.url('/away')), refused, target)
  }
  // Bytes that are not UTF-8 do not name a host.
  source.redirect('/away', `http://h\u00e4fen.test:${source.port}/`)
  assert.equal(await errorOf(source.url('/away')), refused)
  assert.is(internal.connections, before)
})

test('the name of a file is read from every form of Content-Disposition that servers send', async () => {
  const names: [disposition: string, name: string | undefined][] = [
    [`attachment; filename*=UTF-8''h%C3%A4fen.jpg; filename="x.jpg"`, 'häfen.jpg'],
    [`attachment; filename="x.jpg"; filename*="UTF-8''h%C3%A4fen.jpg"`, 'häfen.jpg'],
    [`attachment; filename="x.jpg"; filename*=iso-8859-1'de'h%E4fen.jpg`, 'häfen.jpg'],
    // Without a charset that is known, the plain name counts.
    [`attachment; filename="x.jpg"; filename*=unknown''h%C3%A4fen.jpg`, 'x.jpg'],
    [rawUtf8('attachment; filename="写真.jpg"'), '写真.jpg'],
    [rawUtf8('inline; filename=写真.jpg'), '写真.jpg'],
    ['attachment; filename="h\u00e4fen.jpg"', 'häfen.jpg'],
    ['attachment; filename="=?UTF-8?B?5YaZ55yfLmpwZw==?="', '写真.jpg'],
    ['attachment; filename="=?utf-8?q?h=C3=A4fen_1=5F2.jpg?="', 'häfen 1_2.jpg'],
    ['attachment; filename="=?ISO-8859-1?Q?h=E4fen?= =?UTF-8?B?LmpwZw==?="', 'häfen.jpg'],
    // A character that is divided between two words.
    ['attachment; filename="=?UTF-8?B?5YY=?= =?UTF-8?B?mS5qcGc=?="', '写.jpg'],
    ['attachment; filename="=?Shift_JIS?B?jsqQXi5qcGc=?="', '写真.jpg'],
    ['attachment; filename="=?none?B?AA==?= a"', '=?none?B?AA==?= a'],
    ['attachment; filename="=?UTF-8?B?*?="', '=?UTF-8?B?*?='],
    ['attachment', undefined],
    ['attachment; filename=""', ''],
  ]
  let disposition = ''
  source.on('/named', (_request, response) =>
    response.writeHead(200, { 'content-disposition': disposition }).end('x'),
  )
  for (const [sent, name] of names) {
    disposition = sent
    const { body, filename } = await createFetch()(source.url('/named'))
    body.destroy()
    assert.is(filename, name, sent)
  }
})

test('the connection goes to the checked address even if DNS changes', async () => {
  dns.set('rebinding.test', (query) => (query === 1 ? ['127.0.0.1'] : ['127.0.0.2']))
  source.on('/', (_request, response) => response.end('outside'))
  internal.on('/', (_request, response) => response.end('internal'))
  const before = internal.connections
  assert.is(await text(`http://rebinding.test:${source.port}/`), 'outside')
  assert.is(dns.queries('rebinding.test'), 1)
  assert.equal(await errorOf(`http://rebinding.test:${source.port}/`), refused)
  // DNS changes between a redirect and its target.
  dns.set('rebinding-later.test', (query) => (query === 1 ? ['127.0.0.1'] : ['127.0.0.2']))
  source.redirect('/same', '/')
  assert.equal(await errorOf(`http://rebinding-later.test:${source.port}/same`), refused)
  assert.is(internal.connections, before)
})

test('a redirect loop ends with an error', async () => {
  source.redirect('/loop', '/loop')
  const before = source.seen.length
  assert.equal(await errorOf(source.url('/loop')), [
    'source_unusable',
    'The source redirects more than 5 times.',
  ])
  assert.is(source.seen.length - before, 6)
})

test('fetching a source does not forward cookies to the redirect target', async () => {
  source.on('/cookie', (_request, response) =>
    response.writeHead(302, { location: '/end', 'set-cookie': 'a=b; path=/' }).end(),
  )
  assert.is(await text(source.url('/cookie')), 'here')
  assert.is(source.seen.at(-1)?.headers.cookie, undefined)
})

test('only status 200 of a source is accepted, and the error shows whether a retry can help', async () => {
  let status = 200
  source.on('/status', (_request, response) => response.writeHead(status).end('x'))
  const expected: [number, string][] = [
    [404, 'source_not_found'],
    [410, 'source_not_found'],
    [401, 'source_unusable'],
    [403, 'source_unusable'],
    [206, 'source_unusable'],
    [204, 'source_unusable'],
    [304, 'source_unusable'],
    // A redirect without a Location.
    [302, 'source_unusable'],
    [300, 'source_unusable'],
    [429, 'source_unavailable'],
    [408, 'source_unavailable'],
    [500, 'source_unavailable'],
    [503, 'source_unavailable'],
  ]
  for (const [sourceStatus, code] of expected) {
    status = sourceStatus
    assert.is((await errorOf(source.url('/status')))[0], code, String(sourceStatus))
  }
})

test('an empty file of a source has a size of 0', async () => {
  source.on('/empty', (_request, response) => response.writeHead(200, { 'content-length': 0 }).end())
  const { size, body } = await createFetch()(source.url('/empty'))
  body.destroy()
  assert.is(size, 0)
})

test('a Content-Encoding that is no encoding is ignored, and the bytes are taken as they are', async () => {
  let encoding = ''
  source.on('/labelled', (_request, response) =>
    response.writeHead(200, { 'content-encoding': encoding }).end('cGxhaW4='),
  )
  for (encoding of [
    ...['Identity', '', ' ', ',', 'aws-chunked', 'AWS-Chunked,', 'utf-8', 'UTF8', 'base64', 'none', 'binary'],
    ...['aws-chunked, utf-8', 'identity,identity'],
  ]) {
    assert.is(await text(source.url('/labelled')), 'cGxhaW4=', encoding)
  }
  const compressed = ['source_unusable', 'The source sends the file only compressed.']
  for (encoding of [
    ...[
      'gzip',
      'x-gzip',
      'br',
      'deflate',
      'zstd',
      'compress',
      'dcb',
      'GZIP',
      'aws-chunked,gzip',
      'gzip, utf-8',
    ],
  ]) {
    assert.equal(await errorOf(source.url('/labelled')), compressed, encoding)
  }
})

test('a source that is silent, sends its headers slowly, or does not use HTTP is unavailable', async () => {
  const fetchSource = createFetch({ idleTimeoutMs: 200 })
  const unavailable = ['source_unavailable', 'The source did not respond or closed the connection.']
  source.on('/silent', () => {})
  assert.equal(await errorOf(source.url('/silent'), fetchSource), unavailable)
  source.on('/slow', ({ socket }) => {
    socket.write('HTTP/1.1 200 OK\r\nx: ')
    const timer = setInterval(() => socket.write('x'), 20)
    socket.on('error', () => {}).on('close', () => clearInterval(timer))
  })
  assert.equal(await errorOf(source.url('/slow'), fetchSource), unavailable)
  source.on('/other', ({ socket }) => void socket.end('SSH-2.0-OpenSSH_9.9\r\n'))
  assert.equal(await errorOf(source.url('/other'), fetchSource), unavailable)
  const closed = await startSourceServer()
  await closed.close()
  assert.equal(await errorOf(closed.url('/'), createFetch({ ports: [closed.port] })), unavailable)
  dns.set('failing.test', 'failure')
  assert.equal(await errorOf(`http://failing.test:${source.port}/`, fetchSource), unavailable)

  source.on('/stalls', (_request, response) => response.writeHead(200).write('started'))
  const { body } = await fetchSource(source.url('/stalls'))
  const error = await body.toArray().catch((thrown: unknown) => thrown)
  assert.ok(error instanceof Error)
})

test('TLS checks the hostname of the URL, and a redirect from https to http is refused', async () => {
  const folder = new URL('../../fixtures/tls/', import.meta.url)
  const key = await readFile(new URL('key.pem', folder), 'utf8')
  const cert = await readFile(new URL('certificate.pem', folder), 'utf8')
  const before = getCACertificates('default')
  setDefaultCACertificates([...before, cert])
  const secure = await startSourceServer({ tls: { key, cert } })
  try {
    const fetchSource = createFetch({ ports: [secure.port, source.port] })
    secure.on('/', (_request, response) => response.end('encrypted'))
    assert.is(await text(`https://files.test:${secure.port}/`, fetchSource), 'encrypted')
    dns.set('other.test', ['127.0.0.1'])
    assert.is((await errorOf(`https://other.test:${secure.port}/`, fetchSource))[0], 'source_unavailable')
    assert.is((await errorOf(secure.url('/'), fetchSource))[0], 'source_unavailable')
    source.redirect('/up', `https://files.test:${secure.port}/`)
    assert.is(await text(source.url('/up'), fetchSource), 'encrypted')
    secure.redirect('/down', source.url('/end'))
    assert.equal(await errorOf(`https://files.test:${secure.port}/down`, fetchSource), [
      'source_unusable',
      'The source redirects from https to http.',
    ])
  } finally {
    setDefaultCACertificates(before)
    await secure.close()
  }
})

test.run()
