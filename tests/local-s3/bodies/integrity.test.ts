import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { crc32 } from 'node:zlib'
import { ChecksumAlgorithm } from '@aws-sdk/client-s3'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { openContractTarget } from '../support/contract-target.ts'
import { expectS3Error } from '../support/expect-s3-error.ts'
import { awsChunked, errorCode, send, signedRequest } from '../support/raw-http.ts'

const target = await openContractTarget()
const { client, bucket, prefix, endpoint } = target
const at = (name: string) => ({ Bucket: bucket, Key: `${prefix}${name}` })
const body = Buffer.from('the expected bytes')

/**
 * Sends a PUT signed by the test's own signer. Asserts that a rejected PUT creates no object.
 * @returns the status and S3's error code
 */
async function put(
  name: string,
  request: { headers?: Record<string, string>; body?: Buffer; payload?: string; bare?: boolean },
): Promise<[status: number, code: string]> {
  const sent = request.body ?? body
  const signed = signedRequest(target, {
    method: 'PUT',
    path: `/${bucket}/${prefix}${name}`,
    body: sent,
    headers: { ...(request.bare ? {} : { 'content-length': String(sent.length) }), ...request.headers },
    ...(request.payload === undefined ? {} : { payload: request.payload }),
  })
  const response = await send(endpoint, signed)
  if (response.status !== 200) await expectS3Error(client.headObject(at(name)), 'NotFound', 404)
  return [response.status, errorCode(response)]
}

const md5 = (data: Buffer) => createHash('md5').update(data).digest('base64')
const crc = (data: Buffer) => {
  const digest = Buffer.alloc(4)
  digest.writeUInt32BE(crc32(data))
  return digest.toString('base64')
}

const test = suite('S3 integrity')
test.after(() => target.close())

test('a body must match its Content-MD5', async () => {
  assert.equal(await put('md5', { headers: { 'content-md5': md5(body) } }), [200, ''])
  assert.equal(await put('md5-bad', { headers: { 'content-md5': md5(Buffer.from('other')) } }), [
    400,
    'BadDigest',
  ])
  assert.equal(await put('md5-none', { headers: { 'content-md5': 'not base64' } }), [400, 'InvalidDigest'])
})

test('a body must match its x-amz-content-sha256', async () => {
  const other = createHash('sha256').update('other').digest('hex')
  assert.equal(await put('sha', {}), [200, ''])
  assert.equal(await put('sha-unsigned', { payload: 'UNSIGNED-PAYLOAD' }), [200, ''])
  assert.equal(await put('sha-bad', { payload: other }), [400, 'XAmzContentSHA256Mismatch'])
  assert.equal(await put('sha-word', { payload: 'NONSENSE' }), [400, 'InvalidArgument'])
})

test('each checksum algorithm of the SDK is verified, stored and returned', async () => {
  for (const algorithm of ['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'] as const) {
    const written = await client.putObject({ ...at(algorithm), Body: body, ChecksumAlgorithm: algorithm })
    const head = await client.headObject({ ...at(algorithm), ChecksumMode: 'ENABLED' })
    const value = head[`Checksum${ChecksumAlgorithm[algorithm]}`]
    assert.ok(value, algorithm)
    assert.is(written[`Checksum${ChecksumAlgorithm[algorithm]}`], value)
    assert.is(head.ChecksumType, 'FULL_OBJECT')
    const header = `x-amz-checksum-${algorithm.toLowerCase()}`
    assert.equal(await put(`${algorithm}-same`, { headers: { [header]: value ?? '' } }), [200, ''])
    const changed = await put(`${algorithm}-other`, {
      headers: { [header]: value ?? '' },
      body: Buffer.from('x'),
    })
    assert.equal(changed, [400, 'BadDigest'])
  }
})

test('a checksum is returned only if requested, and never for a range', async () => {
  await client.putObject({ ...at('checksum'), Body: body })
  const plain = await send(
    endpoint,
    signedRequest(target, { method: 'HEAD', path: `/${bucket}/${prefix}checksum` }),
  )
  assert.is(plain.headers['x-amz-checksum-crc32'], undefined)
  const withChecksum = await client.headObject({ ...at('checksum'), ChecksumMode: 'ENABLED' })
  assert.is(withChecksum.ChecksumCRC32, crc(body))
  const range = await client.getObject({ ...at('checksum'), ChecksumMode: 'ENABLED', Range: 'bytes=0-3' })
  assert.is(range.ChecksumCRC32, undefined)
})

test('an invalid checksum header, or a second one, is rejected', async () => {
  assert.equal(await put('crc-short', { headers: { 'x-amz-checksum-crc32': 'AAAA' } }), [
    400,
    'InvalidRequest',
  ])
  const two = { 'x-amz-checksum-crc32': crc(body), 'x-amz-checksum-sha1': 'x' }
  assert.equal(await put('crc-two', { headers: two }), [400, 'InvalidRequest'])
})

test('a streamed SDK upload with a trailing checksum succeeds', async () => {
  const pieces = [Buffer.alloc(70_000, 1), Buffer.alloc(100_000, 2), Buffer.alloc(3, 3)]
  await client.putObject({ ...at('stream'), Body: Readable.from(pieces), ContentLength: 170_003 })
  const head = await client.headObject({ ...at('stream'), ChecksumMode: 'ENABLED' })
  assert.is(head.ChecksumCRC32, crc(Buffer.concat(pieces)))
  assert.is(head.ContentLength, 170_003)
  assert.is(head.ContentEncoding, undefined)
})

const chunks = [Buffer.alloc(8192, 'a'), Buffer.alloc(9000, 'b'), Buffer.from('end')]
const whole = Buffer.concat(chunks)

/** Sends an `aws-chunked` PUT. `change` modifies the encoded body before it is sent. */
async function putChunks(
  name: string,
  payload: string,
  options: {
    chunks?: Buffer[]
    trailer?: string
    headers?: Record<string, string>
    change?: (encoded: Buffer) => Buffer
  } = {},
): Promise<[status: number, code: string]> {
  const parts = options.chunks ?? chunks
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  const request = signedRequest(target, {
    method: 'PUT',
    path: `/${bucket}/${prefix}${name}`,
    payload,
    headers: {
      'content-encoding': 'aws-chunked',
      'x-amz-decoded-content-length': String(length),
      ...(options.trailer === undefined ? {} : { 'x-amz-trailer': options.trailer.split(':')[0] ?? '' }),
      ...options.headers,
    },
  })
  const encoded = awsChunked(parts, payload.includes('HMAC') ? request : undefined, options.trailer)
  const sent = options.change?.(encoded) ?? encoded
  const headers = { ...request.headers, 'content-length': String(sent.length) }
  const response = await send(endpoint, { ...request, headers, body: sent })
  if (response.status !== 200) await expectS3Error(client.headObject(at(name)), 'NotFound', 404)
  return [response.status, errorCode(response)]
}

const signedChunks = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'
const signedTrailer = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER'
const unsignedTrailer = 'STREAMING-UNSIGNED-PAYLOAD-TRAILER'

test('all three aws-chunked forms decode to the same bytes', async () => {
  const trailer = `x-amz-checksum-crc32:${crc(whole)}`
  assert.equal(await putChunks('c1', signedChunks), [200, ''])
  assert.equal(await putChunks('c2', signedTrailer, { trailer }), [200, ''])
  assert.equal(await putChunks('c3', unsignedTrailer, { trailer }), [200, ''])
  for (const name of ['c1', 'c2', 'c3']) {
    const got = await client.getObject(at(name))
    assert.ok(whole.equals(Buffer.from((await got.Body?.transformToByteArray()) ?? [])), name)
  }
})

test('a content encoding besides aws-chunked is stored', async () => {
  const headers = { 'content-encoding': 'gzip,aws-chunked' }
  assert.equal(await putChunks('gzip', signedChunks, { headers }), [200, ''])
  assert.is((await client.headObject(at('gzip'))).ContentEncoding, 'gzip')
})

test('a chunk that does not match its signature is rejected', async () => {
  const change = (encoded: Buffer) => {
    const changed = Buffer.from(encoded)
    changed[encoded.indexOf('bbbb')] = 'c'.charCodeAt(0)
    return changed
  }
  assert.equal(await putChunks('changed', signedChunks, { change }), [403, 'SignatureDoesNotMatch'])
})

test('a changed trailer fails its signature, a wrong checksum in it the digest', async () => {
  const right = `x-amz-checksum-crc32:${crc(whole)}`
  const wrong = `x-amz-checksum-crc32:${crc(body)}`
  const change = (encoded: Buffer) => Buffer.from(encoded.toString('latin1').replace(right, wrong), 'latin1')
  assert.equal(await putChunks('t1', signedTrailer, { trailer: right, change }), [
    403,
    'SignatureDoesNotMatch',
  ])
  assert.equal(await putChunks('t2', signedTrailer, { trailer: wrong }), [400, 'BadDigest'])
  assert.equal(await putChunks('t3', unsignedTrailer, { trailer: wrong }), [400, 'BadDigest'])
})

test('a chunked body must have its declared decoded length', async () => {
  for (const length of ['1', String(whole.length - 1), String(whole.length + 1)]) {
    const headers = { 'x-amz-decoded-content-length': length }
    assert.equal(await putChunks('length', signedChunks, { headers }), [400, 'IncompleteBody'])
  }
})

test('a chunk below 8 KiB is rejected unless it is the last', async () => {
  const small = [Buffer.alloc(100, 'a'), Buffer.alloc(8192, 'b')]
  assert.equal(await putChunks('small', signedChunks, { chunks: small }), [403, 'InvalidChunkSizeError'])
})

test('malformed chunk framing is rejected', async () => {
  const changes: ((encoded: Buffer) => Buffer)[] = [
    (encoded) => encoded.subarray(0, 5000),
    (encoded) => Buffer.concat([Buffer.from('zz\r\n'), encoded]),
    (encoded) => Buffer.concat([encoded, Buffer.from('more')]),
    () => Buffer.alloc(5000, 'x'),
  ]
  for (const change of changes) {
    const [status, code] = await putChunks('framing', signedChunks, { change })
    // The codes were not compared with those of AWS.
    if (target.isLocal) assert.equal([status, code], [400, 'IncompleteBody'], String(change))
    else assert.ok(status >= 400 && status < 500, String(status))
  }
})

test('a body without a declared length is rejected, plain or aws-chunked', async () => {
  const response = await put('no-length', { headers: { 'transfer-encoding': 'chunked' }, bare: true })
  assert.equal(response, [501, 'NotImplemented'])
  const request = signedRequest(target, {
    method: 'PUT',
    path: `/${bucket}/${prefix}no-decoded-length`,
    payload: unsignedTrailer,
    headers: { 'content-encoding': 'aws-chunked', 'content-length': '5' },
  })
  const undecoded = await send(endpoint, { ...request, body: '0\r\n\r\n' })
  assert.equal([undecoded.status, errorCode(undecoded)], [411, 'MissingContentLength'])
})

test('a PUT of more than 5 GiB is rejected before its body', async () => {
  const request = signedRequest(target, {
    method: 'PUT',
    path: `/${bucket}/${prefix}huge`,
    payload: 'UNSIGNED-PAYLOAD',
    headers: { 'content-length': String(5 * 1024 ** 3 + 1), expect: '100-continue' },
  })
  // The request never sends its body: the response must not wait for it.
  const response = await send(endpoint, { ...request, headers: { ...request.headers }, body: '' })
  assert.equal([response.status, errorCode(response)], [400, 'EntityTooLarge'])
})

test.run()
