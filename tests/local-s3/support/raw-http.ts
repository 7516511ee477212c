import { createHash, createHmac } from 'node:crypto'
import { request as httpRequest, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { ContractTarget, Credentials } from './contract-target.ts'

/** A response with its whole body. */
export type RawResponse = { status: number; headers: IncomingHttpHeaders; body: string }

type Signing = Pick<ContractTarget, 'endpoint' | 'region'> & { credentials: Credentials }

/** Sends a request without changing it, on a new connection. */
export function send(
  endpoint: string,
  request: { method: string; path: string; headers?: OutgoingHttpHeaders; body?: string | Buffer },
): Promise<RawResponse> {
  const url = new URL(endpoint)
  const start = url.protocol === 'https:' ? httpsRequest : httpRequest
  const { promise, resolve, reject } = Promise.withResolvers<RawResponse>()
  const outgoing = start({
    host: url.hostname,
    port: url.port,
    method: request.method,
    path: request.path,
    headers: request.headers ?? {},
    agent: false,
  })
  outgoing.on('error', reject)
  outgoing.on('response', async (incoming) => {
    const chunks: Buffer[] = []
    try {
      for await (const chunk of incoming) chunks.push(chunk)
      resolve({
        status: incoming.statusCode ?? 0,
        headers: incoming.headers,
        body: Buffer.concat(chunks).toString(),
      })
    } catch (error) {
      reject(error)
    }
  })
  outgoing.end(request.body)
  return promise
}

/** Returns the code in S3's error document; empty if there is none. */
export function errorCode(response: RawResponse): string {
  return /<Error><Code>([^<]+)<\/Code>/.exec(response.body)?.[1] ?? ''
}

const sha256 = (data: string | Buffer) => createHash('sha256').update(data).digest('hex')
const hmac = (key: string | Buffer, data: string) => createHmac('sha256', key).update(data).digest()

/** Formats a time for Signature V4. */
export function amzDate(time = Date.now()): string {
  return new Date(time).toISOString().replace(/[-:]|\.\d{3}/g, '')
}

/** Returns the signing function and the scope of one day. It shares no code with the server. */
export function createSigner({ region, credentials }: Signing, date: string) {
  const day = date.slice(0, 8)
  const dayKey = hmac(`AWS4${credentials.secretAccessKey}`, day)
  const key = hmac(hmac(hmac(dayKey, region), 's3'), 'aws4_request')
  return {
    scope: `${day}/${region}/s3/aws4_request`,
    sign: (text: string) => hmac(key, text).toString('hex'),
  }
}

/**
 * Signs a request in its headers.
 *
 * @param request.path percent-encoded path and query, the query sorted
 * @param request.payload the value of `x-amz-content-sha256`; by default the body's hash
 * @param request.unsigned headers that are sent but not signed
 * @param request.time the signing time in ms since 1970
 */
export function signedRequest(
  target: Signing,
  request: {
    method: string
    path: string
    headers?: Record<string, string>
    unsigned?: Record<string, string>
    body?: string | Buffer
    payload?: string
    time?: number
  },
) {
  const date = amzDate(request.time)
  const { scope, sign } = createSigner(target, date)
  const payload = request.payload ?? sha256(request.body ?? '')
  const token = target.credentials.sessionToken
  const headers: Record<string, string> = {
    ...request.headers,
    host: new URL(target.endpoint).host,
    'x-amz-content-sha256': payload,
    'x-amz-date': date,
    ...(token === undefined ? {} : { 'x-amz-security-token': token }),
  }
  const names = Object.keys(headers).sort()
  const [path = '', query = ''] = request.path.split('?')
  const canonical = [
    request.method,
    path,
    query
      .split('&')
      .filter((pair) => pair !== '')
      .map((pair) => (pair.includes('=') ? pair : `${pair}=`))
      .sort()
      .join('&'),
    ...names.map((name) => `${name}:${headers[name]?.trim()}`),
    '',
    names.join(';'),
    payload,
  ].join('\n')
  const signature = sign(['AWS4-HMAC-SHA256', date, scope, sha256(canonical)].join('\n'))
  const authorization = `AWS4-HMAC-SHA256 Credential=${target.credentials.accessKeyId}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`
  return {
    method: request.method,
    path: request.path,
    headers: { ...headers, authorization, ...request.unsigned },
    ...(request.body === undefined ? {} : { body: request.body }),
    signature,
    date,
    scope,
    sign,
  }
}

/**
 * Encodes an `aws-chunked` body.
 *
 * @param chunks the payload's chunks in order
 * @param seed the request of these chunks; without it they are not signed
 * @param trailer a trailing header, as `name:value`
 */
export function awsChunked(
  chunks: Buffer[],
  seed?: Pick<ReturnType<typeof signedRequest>, 'signature' | 'date' | 'scope' | 'sign'>,
  trailer?: string,
): Buffer {
  const pieces: (string | Buffer)[] = []
  let previous = seed?.signature ?? ''
  for (const chunk of [...chunks, Buffer.alloc(0)]) {
    let extension = ''
    if (seed !== undefined) {
      previous = seed.sign(
        ['AWS4-HMAC-SHA256-PAYLOAD', seed.date, seed.scope, previous, sha256(''), sha256(chunk)].join('\n'),
      )
      extension = `;chunk-signature=${previous}`
    }
    pieces.push(`${chunk.length.toString(16)}${extension}\r\n`)
    if (chunk.length > 0) pieces.push(chunk, '\r\n')
  }
  if (trailer !== undefined) {
    pieces.push(`${trailer}\r\n`)
    if (seed !== undefined) {
      const signature = seed.sign(
        ['AWS4-HMAC-SHA256-TRAILER', seed.date, seed.scope, previous, sha256(`${trailer}\n`)].join('\n'),
      )
      pieces.push(`x-amz-trailer-signature:${signature}\r\n`)
    }
  }
  pieces.push('\r\n')
  return Buffer.concat(pieces.map((piece) => Buffer.from(piece)))
}
