import { readFile } from 'node:fs/promises'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createFetchSource } from '@millrace/worker/imports/fetch-source.ts'
import { createPublicAddress } from '@millrace/worker/imports/public-address.ts'
import { createSourceAddresses } from '@millrace/worker/imports/source-addresses.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { type DnsServer, startDnsServer } from '../support/dns-server.ts'
import { type SourceServer, startSourceServer } from '../support/source-server.ts'

const test = suite('open source')
let dns: DnsServer
/** On 127.0.0.1, which the operator has opened. */
let source: SourceServer
/** On 127.0.0.2 at the same port, which nobody has opened. */
let inside: SourceServer

test.before(async () => {
  dns = await startDnsServer()
  source = await startSourceServer()
  inside = await startSourceServer({ host: '127.0.0.2', port: source.port })
})
test.after(async () => {
  dns.close()
  await source.close()
  await inside.close()
})

function opener({ networks = ['127.0.0.1/32'], ports = [source.port], silenceMs = 10_000 } = {}) {
  const isPermitted = createPublicAddress(networks)
  const sourceAddresses = createSourceAddresses({ isPermitted, dnsServers: [dns.server] })
  const fetchSource = createFetchSource({ sourceAddresses, allowedPorts: ports, silenceMs })
  return (url: string) => fetchSource(url, new AbortController().signal)
}

/** The code and the sentence with which a source is refused. */
async function refusal(url: string, open = opener()): Promise<[code: string, message: string]> {
  try {
    const { body } = await open(url)
    body.destroy()
  } catch (error) {
    if (error instanceof AppError) return [error.code, error.message]
    throw error
  }
  throw new Error(`${url} was opened.`)
}

async function text(url: string, open = opener()): Promise<string> {
  const { body } = await open(url)
  return Buffer.concat(await body.toArray()).toString()
}

const refused = [
  'source_refused',
  'Files are imported from public addresses only. This address is not public or does not exist.',
]

test('gives what the source says of its file, and asks for it plainly', async () => {
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
  const { body, ...told } = await opener()(`http://files.test:${source.port}/photo?token=a#part`)
  assert.equal(told, { size: 5, contentType: 'image/jpeg', filename: 'häfen.jpg' })
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

test('says the same of whatever is not public or not there, and connects to none of it', async () => {
  dns.set('inside.test', ['127.0.0.2'])
  dns.set('mixed.test', ['127.0.0.2', '93.184.216.34'])
  dns.set('mixed-families.test', ['93.184.216.34', '::1'])
  dns.set('mapped.test', ['::ffff:7f00:2'])
  dns.set('metadata.test', ['169.254.169.254'])
  dns.set('empty.test', [])
  const before = inside.connections
  const hosts = [
    ...['127.0.0.2', '2130706434', '0x7f000002', '0x7f.2', '0177.0.0.2', '017700000002', '127.2'],
    ...['127.0.0.2.', '127。0。0。2', '①27.0.0.2', '0.0.0.0', '10.0.0.1', '169.254.169.254'],
    ...['[::1]', '[::]', '[::ffff:127.0.0.2]', '[::ffff:7f00:2]', '[::127.0.0.2]', '[64:ff9b::7f00:2]'],
    ...['[fd00:ec2::254]', '[fe80::1]', 'localhost', 'sub.localhost', 'localhost.', 'ip6-localhost'],
    ...['inside.test', 'mixed.test', 'mixed-families.test', 'mapped.test', 'metadata.test'],
    ...['empty.test', 'nowhere.test', 'no_such-name.test', `${'a'.repeat(64)}.test`, 'a..test'],
  ]
  for (const host of hosts) {
    assert.equal(await refusal(`http://${host}:${source.port}/`), refused, host)
  }
  const urls = [
    ...['file:///etc/passwd', 'ftp://files.test/x', 'gopher://files.test/x', 'data:,x', 'blob:http://x/y'],
    ...['', 'x', '//files.test/x', 'http://', 'http://[::1', `http://user:pass@127.0.0.1:${source.port}/`],
    ...[`http://user@127.0.0.1:${source.port}/`, 'http://127.0.0.1:22/', 'http://127.0.0.1/'],
  ]
  for (const url of urls) assert.equal(await refusal(url), refused, url)
  assert.is(inside.connections, before)
})

test('looks at each redirect as at the first address', async () => {
  const before = inside.connections
  source.on('/end', (_request, response) => response.end('here'))
  source.redirect('/relative', 'end', 307)
  source.redirect('/twice', `http://files.test:${source.port}/relative`, 301)
  assert.is(await text(source.url('/twice')), 'here')
  const targets = [
    ...[
      'http://169.254.169.254/latest/meta-data/',
      inside.url('/'),
      `http://[::ffff:127.0.0.2]:${source.port}/`,
    ],
    ...[`http://inside.test:${source.port}/`, `http://mixed.test:${source.port}/`, 'file:///etc/passwd'],
    ...['ftp://127.0.0.1/x', `//user:pass@127.0.0.1:${source.port}/end`, 'http://127.0.0.1:1/', 'http://['],
  ]
  for (const target of targets) {
    source.redirect('/away', target)
    assert.equal(await refusal(source.url('/away')), refused, target)
  }
  assert.is(inside.connections, before)
})

test('connects to the address that it looked at, whatever DNS says by then', async () => {
  dns.set('rebinding.test', (question) => (question === 1 ? ['127.0.0.1'] : ['127.0.0.2']))
  source.on('/', (_request, response) => response.end('outside'))
  inside.on('/', (_request, response) => response.end('inside'))
  const before = inside.connections
  assert.is(await text(`http://rebinding.test:${source.port}/`), 'outside')
  assert.is(dns.asked('rebinding.test'), 1)
  assert.equal(await refusal(`http://rebinding.test:${source.port}/`), refused)
  // Also between a redirect and where it leads.
  dns.set('rebinding-later.test', (question) => (question === 1 ? ['127.0.0.1'] : ['127.0.0.2']))
  source.redirect('/same', '/')
  assert.equal(await refusal(`http://rebinding-later.test:${source.port}/same`), refused)
  assert.is(inside.connections, before)
})

test('gives up a circle of redirects', async () => {
  source.redirect('/circle', '/circle')
  const before = source.seen.length
  assert.equal(await refusal(source.url('/circle')), [
    'source_unusable',
    'The source redirects more than 5 times.',
  ])
  assert.is(source.seen.length - before, 6)
})

test('takes no cookie along', async () => {
  source.on('/cookie', (_request, response) =>
    response.writeHead(302, { location: '/end', 'set-cookie': 'a=b; path=/' }).end(),
  )
  assert.is(await text(source.url('/cookie')), 'here')
  assert.is(source.seen.at(-1)?.headers.cookie, undefined)
})

test('tells a file that is not there from one that may come later, and takes 200 only', async () => {
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
    // A redirect that leads nowhere.
    [302, 'source_unusable'],
    [300, 'source_unusable'],
    [429, 'source_unavailable'],
    [408, 'source_unavailable'],
    [500, 'source_unavailable'],
    [503, 'source_unavailable'],
  ]
  for (const [given, code] of expected) {
    status = given
    assert.is((await refusal(source.url('/status')))[0], code, String(given))
  }
})

test('takes no file that has to be unfolded, and no empty one', async () => {
  source.on('/gzip', (_request, response) =>
    response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': 1 }).end('x'),
  )
  source.on('/identity', (_request, response) =>
    response.writeHead(200, { 'content-encoding': 'Identity' }).end('as it is'),
  )
  source.on('/empty', (_request, response) => response.writeHead(200, { 'content-length': 0 }).end())
  assert.is((await refusal(source.url('/gzip')))[0], 'source_unusable')
  assert.is((await refusal(source.url('/empty')))[0], 'source_unusable')
  assert.is(await text(source.url('/identity')), 'as it is')
})

test('waits for nobody who keeps silent, drips its headers, or does not speak HTTP', async () => {
  const open = opener({ silenceMs: 200 })
  const unavailable = ['source_unavailable', 'The source did not respond or closed the connection.']
  source.on('/silent', () => {})
  assert.equal(await refusal(source.url('/silent'), open), unavailable)
  source.on('/drip', ({ socket }) => {
    socket.write('HTTP/1.1 200 OK\r\nx: ')
    const drip = setInterval(() => socket.write('x'), 20)
    socket.on('error', () => {}).on('close', () => clearInterval(drip))
  })
  assert.equal(await refusal(source.url('/drip'), open), unavailable)
  source.on('/other', ({ socket }) => void socket.end('SSH-2.0-OpenSSH_9.9\r\n'))
  assert.equal(await refusal(source.url('/other'), open), unavailable)
  const closed = await startSourceServer()
  await closed.close()
  assert.equal(await refusal(closed.url('/'), opener({ ports: [closed.port] })), unavailable)
  dns.set('unwell.test', 'failure')
  assert.equal(await refusal(`http://unwell.test:${source.port}/`, open), unavailable)

  source.on('/stops', (_request, response) => response.writeHead(200).write('begun'))
  const { body } = await open(source.url('/stops'))
  const error = await body.toArray().catch((thrown: unknown) => thrown)
  assert.ok(error instanceof Error)
})

test('asks TLS for the name, wherever it connects to, and goes back to plain HTTP for nobody', async () => {
  const folder = new URL('../../fixtures/tls/', import.meta.url)
  const key = await readFile(new URL('key.pem', folder), 'utf8')
  const cert = await readFile(new URL('certificate.pem', folder), 'utf8')
  const before = getCACertificates('default')
  setDefaultCACertificates([...before, cert])
  const secure = await startSourceServer({ tls: { key, cert } })
  try {
    const open = opener({ ports: [secure.port, source.port] })
    secure.on('/', (_request, response) => response.end('sealed'))
    assert.is(await text(`https://files.test:${secure.port}/`, open), 'sealed')
    dns.set('other.test', ['127.0.0.1'])
    assert.is((await refusal(`https://other.test:${secure.port}/`, open))[0], 'source_unavailable')
    assert.is((await refusal(secure.url('/'), open))[0], 'source_unavailable')
    source.redirect('/up', `https://files.test:${secure.port}/`)
    assert.is(await text(source.url('/up'), open), 'sealed')
    secure.redirect('/down', source.url('/end'))
    assert.equal(await refusal(`https://files.test:${secure.port}/down`, open), [
      'source_unusable',
      'The source redirects from https to http.',
    ])
  } finally {
    setDefaultCACertificates(before)
    await secure.close()
  }
})

test.run()
