import { createHmac, createSecretKey, hash, type KeyObject } from 'node:crypto'
import type { S3Client } from '@aws-sdk/client-s3'
import { createPresignedPost } from '@aws-sdk/s3-presigned-post'

/** A request that is signed here and sent by a client. */
export type UrlToSign = {
  method: 'GET' | 'PUT'
  key: string
  /** Part of the signature, so the client cannot change it. */
  query?: Record<string, string>
  /** Seconds after `signedAt`. */
  expiresInSeconds: number
  /** Default: now. */
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
    return (url) => signUrl(url, { base, region, dayKey, ...credentials })

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

/** AWS General Reference, "Create a signed AWS API request", with the signature in the query. */
function signUrl(
  { method, key, query = {}, expiresInSeconds, signedAt = new Date() }: UrlToSign,
  { base, region, dayKey, accessKeyId, sessionToken }: SigningContext,
): string {
  const time = signedAt.toISOString().replace(/[-:]|\.\d+/g, '')
  const day = time.slice(0, 8)
  const scope = `${day}/${region}/s3/aws4_request`
  const parameters = {
    ...query,
    'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
    'X-Amz-Content-Sha256': unsignedPayload,
    'X-Amz-Credential': `${accessKeyId}/${scope}`,
    'X-Amz-Date': time,
    'X-Amz-Expires': String(expiresInSeconds),
    ...(sessionToken !== undefined && { 'X-Amz-Security-Token': sessionToken }),
    'X-Amz-SignedHeaders': 'host',
  }
  const path = `${base.pathname.replace(/\/$/, '')}/${key.split('/').map(escapeUri).join('/')}`
  const search = Object.entries(parameters)
    .map(([name, value]) => [escapeUri(name), escapeUri(value)] as const)
    .sort(([nameA], [nameB]) => (nameA < nameB ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join('&')
  const request = [method, path, search, `host:${base.host}\n`, 'host', unsignedPayload].join('\n')
  const text = ['AWS4-HMAC-SHA256', time, scope, hash('sha256', request)].join('\n')
  const signature = hmac(dayKey(day), text).toString('hex')
  return `${base.origin}${path}?${search}&X-Amz-Signature=${signature}`
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
