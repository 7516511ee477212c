import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { openContractTarget } from '../support/contract-target.ts'
import { countContentFiles } from '../support/count-content-files.ts'
import { expectS3Error } from '../support/expect-s3-error.ts'
import { errorCode, send, signedRequest } from '../support/raw-http.ts'

const target = await openContractTarget({ bodyTimeoutMs: 300 })
const { client, bucket, prefix, endpoint } = target
const path = `/${bucket}/${prefix}object`

/** Writes raw bytes to the local server and returns all bytes it sends until it closes the connection. */
async function raw(...writes: string[]): Promise<string> {
  const { hostname, port } = new URL(endpoint)
  const socket = connect(Number(port), hostname)
  await once(socket, 'connect')
  for (const text of writes) socket.write(text, 'latin1')
  let response = ''
  for await (const chunk of socket) response += chunk
  return response
}

/** Returns the head of a signed request as it is sent over the connection. */
function rawHead(request: ReturnType<typeof signedRequest>): string {
  const lines = Object.entries(request.headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${request.method} ${request.path} HTTP/1.1\r\n${lines.join('')}\r\n`
}

const test = suite('S3 robustness')
test.before(() => client.putObject({ Bucket: bucket, Key: `${prefix}object`, Body: 'x' }))
test.after(() => target.close())

test('an operation that is not implemented returns NotImplemented and changes nothing', async () => {
  const configurations = ['tagging=', 'policy=', 'lifecycle=', 'website=', 'encryption=', 'object-lock=']
  const others = ['torrent=', 'attributes=', 'inventory=', 'analytics=']
  const calls = [
    ...[...configurations, ...others].flatMap((query) => [
      ['PUT', query],
      ['DELETE', query],
    ]),
    ...others.map((query) => ['GET', query]),
    ['DELETE', 'acl='],
  ]
  if (target.isLocal) {
    for (const [method = '', query] of calls) {
      for (const place of [`/${bucket}`, path]) {
        const request = signedRequest(target, {
          method,
          path: `${place}?${query}`,
          headers: { 'content-length': '0' },
        })
        const response = await send(endpoint, request)
        assert.equal(
          [response.status, errorCode(response)],
          [501, 'NotImplemented'],
          `${method} ${place}?${query}`,
        )
      }
    }
    await expectS3Error(
      client.putBucketVersioning({
        Bucket: bucket,
        VersioningConfiguration: { Status: 'Enabled', MFADelete: 'Enabled' },
      }),
      'NotImplemented',
      501,
    )
  }
  const { Status } = await client.getBucketVersioning({ Bucket: bucket })
  assert.is(Status, undefined)
  await client.headObject({ Bucket: bucket, Key: `${prefix}object` })
})

test('a response to HEAD has no body, even for an error', async () => {
  const missing = await send(endpoint, signedRequest(target, { method: 'HEAD', path: `${path}-missing` }))
  assert.equal([missing.status, missing.body], [404, ''])
  const unsigned = await send(endpoint, { method: 'HEAD', path })
  assert.equal([unsigned.status, unsigned.body], [403, ''])
})

test('a path that cannot be decoded returns 400', async () => {
  for (const broken of ['%', '%zz', '%ff', '%c3%28']) {
    const response = await send(endpoint, { method: 'GET', path: `/${bucket}/${broken}` })
    assert.is(response.status, 400, broken)
  }
})

test('malformed XML returns MalformedXML', async () => {
  for (const body of [
    '',
    '<',
    '<Delete>',
    '<Other/>',
    '<Delete><Object/></Delete>',
    '\u0000',
    '<Delete><Object><Key>&x;</Key></Object></Delete>',
  ]) {
    const response = await send(
      endpoint,
      signedRequest(target, {
        method: 'POST',
        path: `/${bucket}?delete=`,
        body,
        headers: {
          'content-length': String(Buffer.byteLength(body)),
          'x-amz-checksum-crc32': await crc32Of(body),
        },
      }),
    )
    assert.equal([response.status, errorCode(response)], [400, 'MalformedXML'], JSON.stringify(body))
  }
})

test('XML entities of a DTD are never expanded', async () => {
  const entities = Array.from({ length: 10 }, (_, n) => `<!ENTITY e${n + 1} "${`&e${n};`.repeat(10)}">`).join(
    '',
  )
  const body = `<!DOCTYPE Delete [<!ENTITY e0 "x">${entities}]><Delete><Object><Key>&e10;</Key></Object></Delete>`
  const response = await send(
    endpoint,
    signedRequest(target, {
      method: 'POST',
      path: `/${bucket}?delete=`,
      body,
      headers: { 'content-length': String(body.length), 'x-amz-checksum-crc32': await crc32Of(body) },
    }),
  )
  assert.equal([response.status, errorCode(response)], [400, 'MalformedXML'])
})

async function crc32Of(body: string): Promise<string> {
  const { crc32 } = await import('node:zlib')
  const digest = Buffer.alloc(4)
  digest.writeUInt32BE(crc32(body))
  return digest.toString('base64')
}

if (target.isLocal) {
  // Local only: the response of AWS to bytes that are not HTTP depends on its load balancers. Its idle timeout is long.
  test('bytes that are not a valid HTTP request get a 400 response', async () => {
    assert.match(await raw('nonsense\r\n\r\n'), /^HTTP\/1.1 400 /)
    assert.match(await raw(`GET ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: a\r\n\r\n`), /^HTTP\/1.1 400 /)
    const large = `GET ${path} HTTP/1.1\r\nHost: x\r\nx-large: ${'x'.repeat(20_000)}\r\n\r\n`
    assert.match(await raw(large), 'RequestHeaderSectionTooLarge')
    const both = `PUT ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`
    assert.match(await raw(both), /^HTTP\/1.1 400 /)
  })

  test('100 Continue is sent only for an accepted request', async () => {
    const headers = { 'content-length': '5', expect: '100-continue', connection: 'close' }
    const payload = 'UNSIGNED-PAYLOAD'
    const allowed = signedRequest(target, { method: 'PUT', path: `${path}-continue`, payload, headers })
    assert.match(await raw(rawHead(allowed), 'hello'), /^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200 OK/)
    const rejected = await raw(
      `PUT ${path}-continue HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n`,
      'hello',
    )
    assert.match(rejected, /^HTTP\/1.1 403 Forbidden/)
    assert.match(rejected, /connection: close/i)
  })

  test('a connection stays open after an error response if the body was read', async () => {
    const wrong = 'A'.repeat(22)
    const headers = { 'content-length': '5', 'content-md5': `${wrong}==` }
    const bad = signedRequest(target, {
      method: 'PUT',
      path: `${path}-md5`,
      headers,
      payload: 'UNSIGNED-PAYLOAD',
    })
    const good = signedRequest(target, { method: 'GET', path, headers: { connection: 'close' } })
    const response = await raw(`${rawHead(bad)}hello${rawHead(good)}`)
    assert.match(response, /^HTTP\/1.1 400 /)
    assert.match(response, /BadDigest[\s\S]*HTTP\/1.1 200 OK[\s\S]*\r\n\r\nx$/)
  })

  test('an early error response reaches the client, then the connection closes', async () => {
    const response = await raw(
      `PUT ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n`,
      'x'.repeat(3_000_000),
      `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`,
    )
    assert.match(response, /^HTTP\/1.1 403 Forbidden/)
    assert.is(response.split('HTTP/1.1').length, 2)
  })

  test('after an error in the middle of a body the server reads the rest and closes the connection', async () => {
    const request = signedRequest(target, {
      method: 'PUT',
      path,
      payload: 'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
      headers: { 'content-length': '5000000', 'x-amz-decoded-content-length': '4000000' },
    })
    const response = await raw(rawHead(request), `zz${'z'.repeat(4_999_998)}`)
    assert.match(response, /^HTTP\/1.1 400 [\s\S]*IncompleteBody/)
    // Otherwise it would be closed only after it was idle for some seconds.
    assert.match(response, /\r\nconnection: close\r\n/i)
  })

  test('a client that stops sending its body gets RequestTimeout and leaves no file', async () => {
    const before = await countContentFiles(target.directory)
    const headers = { 'content-length': '1000000' }
    const request = signedRequest(target, {
      method: 'PUT',
      path: `${path}-slow`,
      headers,
      payload: 'UNSIGNED-PAYLOAD',
    })
    const { hostname, port } = new URL(endpoint)
    const socket = connect(Number(port), hostname)
    socket.write(`${rawHead(request)}some bytes`)
    const [chunk] = await once(socket, 'data')
    assert.match(String(chunk), /^HTTP\/1.1 400 [\s\S]*RequestTimeout/)
    socket.destroy()
    assert.is(await countContentFiles(target.directory), before)
  })

  test('a client that disconnects in the middle of its body leaves no file and no object', async () => {
    const before = await countContentFiles(target.directory)
    const headers = { 'content-length': '50000000' }
    const request = signedRequest(target, {
      method: 'PUT',
      path: `${path}-gone`,
      headers,
      payload: 'UNSIGNED-PAYLOAD',
    })
    const { hostname, port } = new URL(endpoint)
    for (let attempt = 0; attempt < 3; attempt++) {
      const socket = connect(Number(port), hostname)
      socket.write(rawHead(request))
      await new Promise((resolve) => socket.write('x'.repeat(5_000_000), resolve))
      socket.destroy()
      await once(socket, 'close')
    }
    // Each round trip gives the server time to notice the disconnection and to delete the file.
    for (let turn = 0; turn < 500 && (await countContentFiles(target.directory)) > before; turn++) {
      await client.headObject({ Bucket: bucket, Key: `${prefix}object` })
    }
    assert.is(await countContentFiles(target.directory), before)
    await expectS3Error(client.headObject({ Bucket: bucket, Key: `${prefix}object-gone` }), 'NotFound', 404)
  })

  test('a rejected upload leaves no file', async () => {
    const before = await countContentFiles(target.directory)
    await expectS3Error(
      client.putObject({ Bucket: bucket, Key: `${prefix}object`, Body: 'y', IfNoneMatch: '*' }),
      'PreconditionFailed',
      412,
    )
    await client.putObject({ Bucket: bucket, Key: `${prefix}object`, Body: 'z' })
    assert.is(await countContentFiles(target.directory), before)
  })

  test('an upload whose condition fails after the body leaves no file', async () => {
    const Key = `${prefix}overtaken`
    const before = await countContentFiles(target.directory)
    const slow = signedRequest(target, {
      method: 'PUT',
      path: `/${bucket}/${Key}`,
      payload: 'UNSIGNED-PAYLOAD',
      headers: { 'content-length': '4', 'if-none-match': '*', expect: '100-continue' },
    })
    const { hostname, port } = new URL(endpoint)
    const put = httpRequest({ ...slow, hostname, port, agent: false })
    put.flushHeaders()
    await once(put, 'continue')
    await client.putObject({ Bucket: bucket, Key, Body: 'fast', IfNoneMatch: '*' })
    put.end('slow')
    const [response] = await once(put, 'response')
    response.resume()
    await once(response, 'end')
    assert.is(response.statusCode, 412)
    assert.is(await (await client.getObject({ Bucket: bucket, Key })).Body?.transformToString(), 'fast')
    assert.is(await countContentFiles(target.directory), before + 1)
  })

  test('CreateBucket requires a new valid name and this region, DeleteBucket an empty bucket', async () => {
    const CreateBucketConfiguration = { LocationConstraint: 'eu-central-1' } as const
    const create = (Bucket: string) => client.createBucket({ Bucket, CreateBucketConfiguration })
    await create('second-bucket')
    await expectS3Error(create('second-bucket'), 'BucketAlreadyOwnedByYou', 409)
    for (const name of ['ab', 'Upper', 'a..b', '-a-', '127.0.0.1', 'x'.repeat(64)]) {
      await expectS3Error(create(name), 'InvalidBucketName', 400)
    }
    const elsewhere = client.createBucket({
      Bucket: 'third-bucket',
      CreateBucketConfiguration: { LocationConstraint: 'ap-south-1' },
    })
    await expectS3Error(elsewhere, 'IllegalLocationConstraintException', 400)
    const { Buckets = [] } = await client.listBuckets()
    assert.equal(
      Buckets.map(({ Name }) => Name),
      [bucket, 'second-bucket'],
    )
    await client.putObject({ Bucket: 'second-bucket', Key: 'x', Body: 'x' })
    await expectS3Error(client.deleteBucket({ Bucket: 'second-bucket' }), 'BucketNotEmpty', 409)
    await client.deleteObject({ Bucket: 'second-bucket', Key: 'x' })
    await client.deleteBucket({ Bucket: 'second-bucket' })
    await expectS3Error(client.headBucket({ Bucket: 'second-bucket' }), 'NotFound', 404)
  })
}

test.run()
