import { createHash, createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto'
import { S3Error } from '../protocol/s3-error.ts'
import type { S3Exchange } from '../protocol/s3-exchange.ts'

/** AWS' limits: clocks may differ by 15 minutes, a URL is valid for at most 7 days. */
const maxSkewMs = 15 * 60 * 1000
const maxExpirySeconds = 604_800
const algorithm = 'AWS4-HMAC-SHA256'
/** Either of them makes a URL one that Signature V2 signed. */
const signatureV2Parameters = ['AWSAccessKeyId', 'Signature']

/** The one permanent key pair of the server. */
export type KeyPair = { accessKeyId: string; secretAccessKey: string }

/** Credentials of a role: they are sent with their token, and end. */
export type TemporaryCredentials = {
  secretAccessKey: string
  sessionToken: string
  /** Milliseconds since 1970. */
  endsAtMs: number
}

/** @returns undefined if there are no such credentials */
export type FindTemporaryCredentials = (accessKeyId: string) => TemporaryCredentials | undefined

/** A verified signature, with the values that chunk signatures are computed from. */
export type VerifiedSignature = {
  /** The value of `x-amz-content-sha256`: a SHA-256 in hex, or one of S3's keywords such as `UNSIGNED-PAYLOAD`. */
  payload: string
  /** Signs the next string of a chunked body: hex HMAC with this request's signing key. */
  sign(stringToSign: string): string
  amzDate: string
  scope: string
  /** The request's own signature in hex: the first chunk's signature is computed from it. */
  signature: string
}

/** A request whose signature was verified. Each operation receives one. */
export type VerifiedRequest = { exchange: S3Exchange; signature: VerifiedSignature }

/** A signature's parameters as the client sent them, not verified yet. */
type SignatureParameters = {
  credential: string
  /** Comes with temporary credentials. */
  sessionToken: string | undefined
  signedHeaders: string[]
  signature: string
  amzDate: string
  payload: string
  presigned: boolean
}

/** Compares two hex signatures in constant time. */
export function signaturesEqual(computed: string, received: string): boolean {
  const expected = Buffer.from(computed)
  const actual = Buffer.from(received)
  return expected.length === actual.length && timingSafeEqual(expected, actual)
}

/** The response to a request that is signed in another way, for example with Signature V2. */
export function unsupportedMechanism(): S3Error {
  return new S3Error(
    'InvalidRequest',
    'The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.',
  )
}

/** Percent-encodes as Signature V4 requires: all but RFC 3986's unreserved characters. */
export function awsUriEncode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

/**
 * Parses an ISO 8601 basic time (`20261123T021500Z`).
 * @returns milliseconds since 1970, NaN if the text has another form
 */
export function parseAmzDate(amzDate: string): number {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(amzDate)
  if (match === null) return Number.NaN
  const [, year, month, day, hour, minute, second] = match
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
}

/**
 * Verifies AWS Signature Version 4 (AWS General Reference, "Signature Version 4 signing process"; the S3 API
 * reference for its chunked, presigned and form variants) for one region, one key pair, and temporary credentials.
 */
export function createSignatureV4(options: {
  region: string
  credentials: KeyPair
  temporaryCredentials?: FindTemporaryCredentials | undefined
}) {
  const { region, credentials, temporaryCredentials = () => undefined } = options

  /** The last key: requests of a day have the same, and deriving it costs more than all else of a signature. */
  let last: { secretAccessKey: string; date: string; key: KeyObject } | undefined

  function signingKey(secretAccessKey: string, date: string): KeyObject {
    if (last?.secretAccessKey === secretAccessKey && last.date === date) return last.key
    const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest()
    const derived = [region, 's3', 'aws4_request'].reduce(
      (previous, text) => hmac(previous, text),
      hmac(`AWS4${secretAccessKey}`, date),
    )
    const key = createSecretKey(derived)
    last = { secretAccessKey, date, key }
    return key
  }

  /** Returns the function that signs with the key of one day. */
  function createSigner(secretAccessKey: string, date: string): (text: string) => string {
    const key = signingKey(secretAccessKey, date)
    return (text) => createHmac('sha256', key).update(text).digest('hex')
  }

  /**
   * Finds the secret of an access key.
   *
   * @throws S3Error InvalidAccessKeyId, InvalidToken, ExpiredToken
   */
  function findSecret(accessKeyId: string, sessionToken: string | undefined, now: number): string {
    const temporary = temporaryCredentials(accessKeyId)
    const isKnown = temporary ? sessionToken !== undefined : accessKeyId === credentials.accessKeyId
    if (!isKnown) throw new S3Error('InvalidAccessKeyId', undefined, { AWSAccessKeyId: accessKeyId })
    const token = { 'Token-0': sessionToken ?? '' }
    if (sessionToken !== temporary?.sessionToken) throw new S3Error('InvalidToken', undefined, token)
    if (temporary && temporary.endsAtMs <= now) throw new S3Error('ExpiredToken', undefined, token)
    return temporary?.secretAccessKey ?? credentials.secretAccessKey
  }

  /**
   * Checks a credential `<key id>/<yyyymmdd>/<region>/s3/aws4_request` and returns its scope and signing function.
   * @param errorCode S3's code for a malformed credential: it depends on where the credential was sent
   * @param now milliseconds since 1970
   * @throws S3Error with `errorCode`, or those of `findSecret`
   */
  function checkCredential(
    {
      credential,
      sessionToken,
      amzDate,
    }: Pick<SignatureParameters, 'credential' | 'sessionToken' | 'amzDate'>,
    now: number,
    errorCode: 'AuthorizationHeaderMalformed' | 'AuthorizationQueryParametersError' | 'InvalidArgument',
  ) {
    const parts = credential.split('/')
    const [terminator = '', service = '', credentialRegion = '', date = ''] = parts.reverse()
    const accessKeyId = parts.slice(4).reverse().join('/')
    const fail = (message: string, details = {}) => {
      throw new S3Error(errorCode, message, details)
    }
    if (parts.length < 5 || terminator !== 'aws4_request') {
      fail('The Credential is malformed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".')
    }
    if (!/^\d{8}$/.test(date) || date !== amzDate.slice(0, 8)) {
      fail(
        `Invalid credential date "${date}". This date is not the same as X-Amz-Date: "${amzDate.slice(0, 8)}".`,
      )
    }
    if (credentialRegion !== region) {
      fail(`The region '${credentialRegion}' is wrong; expecting '${region}'`, { Region: region })
    }
    if (service !== 's3') fail(`Incorrect service "${service}". This endpoint belongs to "s3".`)
    const secret = findSecret(accessKeyId, sessionToken, now)
    return { accessKeyId, scope: `${date}/${region}/s3/aws4_request`, sign: createSigner(secret, date) }
  }

  function readHeaderSignature(exchange: S3Exchange, authorization: string): SignatureParameters {
    if (!authorization.startsWith(`${algorithm} `)) throw unsupportedMechanism()
    const fields = new Map(
      authorization
        .slice(algorithm.length)
        .split(',')
        .map((field): [string, string] => {
          const equals = field.indexOf('=')
          return [field.slice(0, equals).trim(), field.slice(equals + 1).trim()]
        }),
    )
    const credential = fields.get('Credential')
    const signedHeaders = fields.get('SignedHeaders')
    const signature = fields.get('Signature')
    if (!credential || !signedHeaders || !signature) throw new S3Error('AuthorizationHeaderMalformed')
    const payload = exchange.headers['x-amz-content-sha256']
    if (payload === undefined) {
      throw new S3Error('InvalidRequest', 'Missing required header for this request: x-amz-content-sha256')
    }
    const date = exchange.headers['x-amz-date'] ?? ''
    const amzDate = date || toAmzDate(exchange.headers['date'] ?? '')
    if (Number.isNaN(parseAmzDate(amzDate))) {
      throw new S3Error('AccessDenied', 'AWS authentication requires a valid Date or x-amz-date header')
    }
    return {
      credential,
      sessionToken: exchange.headers['x-amz-security-token'],
      signedHeaders: signedHeaders.split(';'),
      signature,
      amzDate,
      payload,
      presigned: false,
    }
  }

  function readQuerySignature(exchange: S3Exchange, now: number): SignatureParameters {
    const queryError = (message?: string) => new S3Error('AuthorizationQueryParametersError', message)
    const required = (name: string) => {
      const value = exchange.query(name)
      if (!value) throw queryError()
      return value
    }
    if (required('X-Amz-Algorithm') !== algorithm)
      throw queryError('X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"')
    const amzDate = required('X-Amz-Date')
    const signedAt = parseAmzDate(amzDate)
    if (Number.isNaN(signedAt))
      throw queryError("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
    const expires = required('X-Amz-Expires')
    if (!/^-?\d+$/.test(expires)) throw queryError('X-Amz-Expires should be a number')
    const expirySeconds = Number(expires)
    if (expirySeconds < 0) throw queryError('X-Amz-Expires must be non-negative')
    if (expirySeconds > maxExpirySeconds) {
      throw queryError('X-Amz-Expires must be less than a week (in seconds) that is 604800')
    }
    if (signedAt > now + maxSkewMs) {
      throw new S3Error('AccessDenied', 'Request is not yet valid', {
        ServerTime: new Date(now).toISOString(),
      })
    }
    if (signedAt + expirySeconds * 1000 < now) {
      throw new S3Error('AccessDenied', 'Request has expired', {
        'X-Amz-Expires': expires,
        Expires: new Date(signedAt + expirySeconds * 1000).toISOString(),
        ServerTime: new Date(now).toISOString(),
      })
    }
    return {
      credential: required('X-Amz-Credential'),
      sessionToken: exchange.query('X-Amz-Security-Token'),
      signedHeaders: required('X-Amz-SignedHeaders').split(';'),
      signature: required('X-Amz-Signature'),
      amzDate,
      payload:
        exchange.headers['x-amz-content-sha256'] ??
        exchange.query('X-Amz-Content-Sha256') ??
        'UNSIGNED-PAYLOAD',
      presigned: true,
    }
  }

  function canonicalRequest(exchange: S3Exchange, parameters: SignatureParameters): string {
    const query = exchange.parameters
      .filter(([name]) => !(parameters.presigned && name === 'X-Amz-Signature'))
      .map(([name, value]) => [awsUriEncode(name), awsUriEncode(value)] as const)
      .sort(([nameA, valueA], [nameB, valueB]) => compare(nameA, nameB) || compare(valueA, valueB))
      .map(([name, value]) => `${name}=${value}`)
    const path = [exchange.bucket, ...(exchange.rawPath.indexOf('/', 1) < 0 ? [] : exchange.key.split('/'))]
    return [
      exchange.method,
      `/${path.map(awsUriEncode).join('/')}`,
      query.join('&'),
      ...parameters.signedHeaders.map(
        (name) => `${name}:${(exchange.headers[name] ?? '').trim().replace(/\s+/g, ' ')}`,
      ),
      '',
      parameters.signedHeaders.join(';'),
      parameters.payload,
    ].join('\n')
  }

  return {
    checkCredential,

    /**
     * Verifies a request that is signed in its Authorization header or in its URL. Adds the URL's `x-amz-`
     * parameters to `exchange.headers`, because S3 treats them as headers.
     *
     * @param now milliseconds since 1970
     * @throws S3Error AccessDenied (no signature, expired, x-amz- headers without a signature), SignatureDoesNotMatch,
     * InvalidAccessKeyId, InvalidToken, ExpiredToken, RequestTimeTooSkewed, AuthorizationHeaderMalformed, AuthorizationQueryParametersError,
     * InvalidRequest, InvalidArgument
     */
    verify(exchange: S3Exchange, now: number): VerifiedSignature {
      const authorization = exchange.headers['authorization']
      const inQuery = exchange.parameters.some(
        ([name]) => name === 'X-Amz-Signature' || name === 'X-Amz-Algorithm',
      )
      const isSignatureV2 = signatureV2Parameters.some((name) => exchange.query(name) !== undefined)
      if ([authorization !== undefined, inQuery, isSignatureV2].filter(Boolean).length > 1) {
        throw new S3Error(
          'InvalidArgument',
          'Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified',
        )
      }
      if (isSignatureV2) throw unsupportedMechanism()
      if (authorization === undefined && !inQuery) throw new S3Error('AccessDenied')
      const parameters =
        authorization === undefined
          ? readQuerySignature(exchange, now)
          : readHeaderSignature(exchange, authorization)
      const { accessKeyId, scope, sign } = checkCredential(
        parameters,
        now,
        parameters.presigned ? 'AuthorizationQueryParametersError' : 'AuthorizationHeaderMalformed',
      )
      if (!parameters.presigned && Math.abs(now - parseAmzDate(parameters.amzDate)) > maxSkewMs) {
        throw new S3Error('RequestTimeTooSkewed', undefined, {
          RequestTime: parameters.amzDate,
          ServerTime: new Date(now).toISOString(),
          MaxAllowedSkewMilliseconds: String(maxSkewMs),
        })
      }
      const unsigned = Object.keys(exchange.headers).filter(
        (name) => (name === 'host' || name.startsWith('x-amz-')) && !parameters.signedHeaders.includes(name),
      )
      if (unsigned.length > 0) {
        throw new S3Error('AccessDenied', 'There were headers present in the request which were not signed', {
          HeadersNotSigned: unsigned.join(', '),
        })
      }
      const canonical = canonicalRequest(exchange, parameters)
      const stringToSign = [
        algorithm,
        parameters.amzDate,
        scope,
        createHash('sha256').update(canonical).digest('hex'),
      ].join('\n')
      if (!signaturesEqual(sign(stringToSign), parameters.signature)) {
        throw new S3Error('SignatureDoesNotMatch', undefined, {
          AWSAccessKeyId: accessKeyId,
          StringToSign: stringToSign,
          SignatureProvided: parameters.signature,
          CanonicalRequest: canonical,
        })
      }
      if (parameters.presigned) applyHoistedHeaders(exchange)
      return {
        payload: parameters.payload,
        sign,
        amzDate: parameters.amzDate,
        scope,
        signature: parameters.signature,
      }
    },
  }
}

export type SignatureV4 = ReturnType<typeof createSignatureV4>

/** Presigners move `x-amz-` headers into the query, where the signature covers them. S3 treats them as headers. */
function applyHoistedHeaders(exchange: S3Exchange) {
  const signatureParameters =
    /^x-amz-(algorithm|credential|date|expires|signedheaders|signature|security-token|content-sha256)$/
  for (const [name, value] of exchange.parameters) {
    const header = name.toLowerCase()
    if (header.startsWith('x-amz-') && !signatureParameters.test(header)) exchange.headers[header] ??= value
  }
}

function toAmzDate(httpDate: string): string {
  const time = Date.parse(httpDate)
  return Number.isNaN(time) ? '' : new Date(time).toISOString().replace(/[-:]|\.\d{3}/g, '')
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
