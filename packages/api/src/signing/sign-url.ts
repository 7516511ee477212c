import { createHmac, createSecretKey, hash, type KeyObject } from 'node:crypto'
import type { S3Client } from '@aws-sdk/client-s3'
import { createPresignedPost } from '@aws-sdk/s3-presigned-post'
import {
  createSigningCredentials,
  lifeUntil,
  type SigningCredentials,
} from '@millrace/shared/connections/signing-credentials.ts'

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
  /** Seconds after `signedAt`. The URL expires earlier if the credentials that sign it do. */
  expiresInSeconds: number
  /** Default: now, for all URLs of a batch the same time. */
  signedAt?: Date
}

/** A URL that is valid for every client until it expires. */
export type SignedUrl = { url: string; expiresAt: Date }

/** With this value, S3 checks no hash of the body. The client sends the body, so its hash is not known here. */
const unsignedPayload = 'UNSIGNED-PAYLOAD'

/**
 * Creates a signer of S3 URLs (Signature Version 4 in query parameters, with an unsigned body). The SDK's
 * `getSignedUrl` is not used because it runs the whole command for each URL: a batch of 100 parts would block
 * the event loop for 25 ms. A test compares the URLs with those of the SDK's signer.
 *
 * @param deps.s3 the client whose credentials, region and endpoint are used
 * @param deps.bucket the bucket of all keys
 * @param deps.credentials finds the client's credentials
 */
export function createUrlSigner(deps: { s3: S3Client; bucket: string; credentials?: SigningCredentials }) {
  const { s3, bucket, credentials = createSigningCredentials({ s3 }) } = deps
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
  async function prepare(urls: UrlToSign[]): Promise<(url: UrlToSign) => SignedUrl> {
    const nowMs = Date.now()
    const ends = urls.map(
      ({ signedAt, expiresInSeconds }) => (signedAt?.getTime() ?? nowMs) + expiresInSeconds * 1000,
    )
    const [base, region, keys] = await Promise.all([
      findBucket(),
      s3.config.region(),
      credentials.find(Math.max(0, ...ends) - nowMs),
    ])
    return createSignUrl({ base, region, dayKey, ...keys })

    /**
     * Returns the signing key of a day. The last one is cached, because almost all URLs are signed for today.
     */
    function dayKey(day: string): KeyObject {
      const derivedFrom = `${day}/${region}/${keys.accessKeyId}/${keys.secretAccessKey}`
      if (lastKey?.derivedFrom !== derivedFrom) {
        lastKey = { derivedFrom, key: deriveKey(keys.secretAccessKey, day, region) }
      }
      return lastKey.key
    }
  }

  return {
    /** Returns the origin at which browsers reach the bucket, for a content security policy. */
    async origin(): Promise<string> {
      return (await findBucket()).origin
    },

    async sign(url: UrlToSign): Promise<SignedUrl> {
      return (await prepare([url]))(url)
    },

    /** Returns the signed URLs in the same order. */
    async signAll(urls: UrlToSign[]): Promise<SignedUrl[]> {
      return urls.map(await prepare(urls))
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
  /** When the credentials end, in ms since 1970. */
  endsAtMs: number
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
function createSignUrl(context: SigningContext): (url: UrlToSign) => SignedUrl {
  const { base, endsAtMs } = context
  const origin = base.origin
  const now = new Date()
  let lastFrame: Frame | undefined

  return (asked) => {
    const { method, query = {}, headers, signedAt = now } = asked
    const lifeMs = lifeUntil(endsAtMs, asked.expiresInSeconds * 1000, signedAt.getTime())
    const expiresInSeconds = Math.floor(lifeMs / 1000)
    const url = { ...asked, expiresInSeconds }
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
    return {
      url: `${origin}${path}?${search}&X-Amz-Signature=${signature}`,
      // The signature has the time in whole seconds.
      expiresAt: new Date((Math.floor(signedAt.getTime() / 1000) + expiresInSeconds) * 1000),
    }
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
