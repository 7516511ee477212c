import { createHmac, createSecretKey, hash, type KeyObject } from 'node:crypto'
import type { S3Client } from '@aws-sdk/client-s3'
import { createPresignedPost } from '@aws-sdk/s3-presigned-post'

/** A request that is signed here and sent by a client. */
export type UrlToSign = {
  method: 'GET' | 'HEAD' | 'PUT'
  key: string
  /** Part of the signature, so the client cannot change it. Names begin with a lower-case letter, as all of S3's do. */
  query?: Record<string, string>
  /**
   * Headers that the client must send with exactly these values: S3 refuses the request otherwise. Names are in lower
   * case. A signed `content-length` fixes the size of the body.
   */
  headers?: Record<string, string>
  /** Seconds after `signedAt`. */
  expiresInSeconds: number
  /** Default: now, for all URLs of a batch the same time. */
  signedAt?: Date
}

/** With this value, S3 checks no hash of the body. The client sends the body, so its hash is not known here. */
const unsignedPayload = 'UNSIGNED-PAYLOAD'

/**
 * Creates a signer of S3 URLs (Signature Version 4 in query parameters, with an unsigned body). The SDK's
 * `getSignedUrl` is not used because it runs the whole command for each URL: a batch of 100 parts would block
 * the event loop for 25 ms. A test compares the URLs with those of the SDK's signer.
 *
 * @param deps.s3 the client whose credentials, region and endpoint are used
 * @param deps.bucket the bucket of all keys
 */
export function createUrlSigner({ s3, bucket }: { s3: S3Client; bucket: string }) {
  let bucketUrl: Promise<URL> | undefined
  let lastKey: { derivedFrom: string; key: KeyObject } | undefined

  /**
   * Returns the bucket's URL: path style or virtual host, on AWS or another server. The SDK computes it once.
   */
  function findBucket(): Promise<URL> {
    bucketUrl ??= createPresignedPost(s3, { Bucket: bucket, Key: 'any' }).then(
      ({ url }) => new URL(url),
      (error: unknown) => {
        bucketUrl = undefined
        throw error
      },
    )
    return bucketUrl
  }

  /** Loads what all URLs of one call have in common. Returns a function that signs one URL. */
  async function prepare(): Promise<(url: UrlToSign) => string> {
    const [base, region, credentials] = await Promise.all([
      findBucket(),
      s3.config.region(),
      s3.config.credentials(),
    ])
    return createSignUrl({ base, region, dayKey, ...credentials })

    /**
     * Returns the signing key of a day. The last one is cached, because almost all URLs are signed for today.
     */
    function dayKey(day: string): KeyObject {
      const derivedFrom = `${day}/${region}/${credentials.accessKeyId}/${credentials.secretAccessKey}`
      if (lastKey?.derivedFrom !== derivedFrom) {
        lastKey = { derivedFrom, key: deriveKey(credentials.secretAccessKey, day, region) }
      }
      return lastKey.key
    }
  }

  return {
    /** Returns the origin at which browsers reach the bucket, for a content security policy. */
    async origin(): Promise<string> {
      return (await findBucket()).origin
    },

    /** Returns when the credentials end, and with them all URLs that they signed; undefined: they do not end. */
    async credentialsEndAt(): Promise<Date | undefined> {
      return (await s3.config.credentials()).expiration
    },

    /** Returns the signed URL, valid for every client until it expires. */
    async sign(url: UrlToSign): Promise<string> {
      return (await prepare())(url)
    },

    /** Returns the signed URLs in the same order. */
    async signAll(urls: UrlToSign[]): Promise<string[]> {
      return urls.map(await prepare())
    },
  }
}

export type UrlSigner = ReturnType<typeof createUrlSigner>

type SigningContext = {
  /** The bucket's URL. */
  base: URL
  region: string
  /** Returns the signing key of a day in the form `20261231`. */
  dayKey: (day: string) => KeyObject
  accessKeyId: string
  sessionToken?: string
}

/** What the URLs of one batch have in common: all but the values of query and headers. */
type Frame = Pick<UrlToSign, 'method' | 'key' | 'expiresInSeconds'> & {
  headerNames: string
  time: string
  path: string
  /** The signature's own query parameters, escaped and sorted. */
  search: string
  scope: string
  signingKey: KeyObject
}

/**
 * Creates a function that signs URLs: AWS General Reference, "Create a signed AWS API request", with the signature in the
 * query. URLs in a row mostly differ in a few values only, so everything else is computed once.
 */
function createSignUrl(context: SigningContext): (url: UrlToSign) => string {
  const { base } = context
  const origin = base.origin
  const now = new Date()
  let lastFrame: Frame | undefined

  return (url) => {
    const { method, query = {}, headers, signedAt = now } = url
    const fields: [string, string][] = [['host', base.host], ...Object.entries(headers ?? {})]
    fields.sort(byName)
    const headerNames = fields.map(([name]) => name).join(';')
    const time = signedAt.toISOString().replace(/[-:]|\.\d+/g, '')
    if (!lastFrame || !isFrameOf(lastFrame, url, headerNames, time)) {
      lastFrame = createFrame(url, headerNames, time, context)
    }
    const { path, scope, signingKey } = lastFrame
    const search = Object.entries(query)
      .sort(byName)
      .reduce((text, [name, value]) => `${text}&${escapeUri(name)}=${escapeUri(value)}`, lastFrame.search)
    const headerLines = fields.reduce((text, [name, value]) => `${text}${name}:${value}\n`, '')
    const request = `${method}\n${path}\n${search}\n${headerLines}\n${headerNames}\n${unsignedPayload}`
    const text = `AWS4-HMAC-SHA256\n${time}\n${scope}\n${hash('sha256', request)}`
    const signature = createHmac('sha256', signingKey).update(text).digest('hex')
    return `${origin}${path}?${search}&X-Amz-Signature=${signature}`
  }
}

function isFrameOf(frame: Frame, url: UrlToSign, headerNames: string, time: string): boolean {
  return (
    frame.time === time &&
    frame.key === url.key &&
    frame.headerNames === headerNames &&
    frame.expiresInSeconds === url.expiresInSeconds &&
    frame.method === url.method
  )
}

function createFrame(
  { method, key, expiresInSeconds }: UrlToSign,
  headerNames: string,
  time: string,
  { base, region, dayKey, accessKeyId, sessionToken }: SigningContext,
): Frame {
  const day = time.slice(0, 8)
  const scope = `${day}/${region}/s3/aws4_request`
  // In alphabetical order, as they must be signed. Capitals come before all names of `query`.
  const search = Object.entries({
    'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
    'X-Amz-Content-Sha256': unsignedPayload,
    'X-Amz-Credential': `${accessKeyId}/${scope}`,
    'X-Amz-Date': time,
    'X-Amz-Expires': String(expiresInSeconds),
    ...(sessionToken !== undefined && { 'X-Amz-Security-Token': sessionToken }),
    'X-Amz-SignedHeaders': headerNames,
  })
    .map(([name, value]) => `${name}=${escapeUri(value)}`)
    .join('&')
  const path = `${base.pathname.replace(/\/$/, '')}/${key.split('/').map(escapeUri).join('/')}`
  return { method, key, expiresInSeconds, headerNames, time, path, search, scope, signingKey: dayKey(day) }
}

function byName([nameA]: [string, string], [nameB]: [string, string]): number {
  return nameA < nameB ? -1 : 1
}

/**
 * Derives the signing key. Returns a key object because signing with bytes takes Node seven times as long.
 */
function deriveKey(secretAccessKey: string, day: string, region: string): KeyObject {
  const dateKey = hmac(`AWS4${secretAccessKey}`, day)
  return createSecretKey(hmac(hmac(hmac(dateKey, region), 's3'), 'aws4_request'))
}

function hmac(key: string | Buffer | KeyObject, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

/**
 * Percent-encodes by RFC 3986, as Signature Version 4 requires. `encodeURIComponent` does not encode `!'()*`.
 */
function escapeUri(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}
