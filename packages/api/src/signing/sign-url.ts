import { createHmac, createSecretKey, hash, type KeyObject } from 'node:crypto'
import type { S3Client } from '@aws-sdk/client-s3'
import { createPresignedPost } from '@aws-sdk/s3-presigned-post'

/** A request to sign for somebody else to make. */
export type UrlToSign = {
  method: 'GET' | 'PUT'
  key: string
  /** Signed along, so it can't be changed by whoever makes the request. */
  query?: Record<string, string>
  /** Seconds from `signedAt` on. */
  expiresInSeconds: number
  /** Default: now. */
  signedAt?: Date
}

/** S3 does not look at the body's hash: who sends it is not us. */
const unsignedPayload = 'UNSIGNED-PAYLOAD'

/**
 * Signs S3 URLs (Signature Version 4, query parameters; the body stays unsigned, as its sender is not us).
 * Done by hand rather than by the SDK's `getSignedUrl`, which runs the whole command for each URL: a batch of
 * 100 parts would take the event loop 25 ms. The tests hold it against the SDK's signer.
 *
 * @param deps.s3 whose credentials, region and endpoint are used
 * @param deps.bucket the bucket of all keys
 */
export function createUrlSigner({ s3, bucket }: { s3: S3Client; bucket: string }) {
  let bucketUrl: Promise<URL> | undefined
  let lastKey: { of: string; key: KeyObject } | undefined

  /** Where the bucket is: path style or virtual host, AWS or elsewhere. The SDK knows; it is asked once. */
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

  /** Everything that all URLs which are signed now have in common. */
  async function prepare(): Promise<(url: UrlToSign) => string> {
    const [base, region, credentials] = await Promise.all([
      findBucket(),
      s3.config.region(),
      s3.config.credentials(),
    ])
    return (url) => signUrl(url, { base, region, dayKey, ...credentials })

    /** Of the day, mostly today, so that it is derived once. */
    function dayKey(day: string): KeyObject {
      const of = `${day}/${region}/${credentials.accessKeyId}/${credentials.secretAccessKey}`
      if (lastKey?.of !== of) lastKey = { of, key: deriveKey(credentials.secretAccessKey, day, region) }
      return lastKey.key
    }
  }

  return {
    /** @returns the origin under which browsers reach the bucket, for a content security policy */
    async origin(): Promise<string> {
      return (await findBucket()).origin
    },

    /** @returns the URL, valid for anyone until it expires */
    async sign(url: UrlToSign): Promise<string> {
      return (await prepare())(url)
    },

    /** @returns the URLs in the same order */
    async signAll(urls: UrlToSign[]): Promise<string[]> {
      return urls.map(await prepare())
    },
  }
}

export type UrlSigner = ReturnType<typeof createUrlSigner>

type Signatory = {
  /** Of the bucket. */
  base: URL
  region: string
  /** What signs on a day, which is written as `20261231`. */
  dayKey: (day: string) => KeyObject
  accessKeyId: string
  sessionToken?: string
}

/** AWS General Reference, "Create a signed AWS API request", with the signature in the query. */
function signUrl(
  { method, key, query = {}, expiresInSeconds, signedAt = new Date() }: UrlToSign,
  { base, region, dayKey, accessKeyId, sessionToken }: Signatory,
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
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join('&')
  const request = [method, path, search, `host:${base.host}\n`, 'host', unsignedPayload].join('\n')
  const text = ['AWS4-HMAC-SHA256', time, scope, hash('sha256', request)].join('\n')
  const signature = hmac(dayKey(day), text).toString('hex')
  return `${base.origin}${path}?${search}&X-Amz-Signature=${signature}`
}

/** As a key object: Node takes seven times as long to sign with bytes. */
function deriveKey(secretAccessKey: string, day: string, region: string): KeyObject {
  const ofDay = hmac(`AWS4${secretAccessKey}`, day)
  return createSecretKey(hmac(hmac(hmac(ofDay, region), 's3'), 'aws4_request'))
}

function hmac(key: string | Buffer | KeyObject, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

/** RFC 3986 percent-encoding, as the signature counts it: `encodeURIComponent` leaves `!'()*` alone. */
function escapeUri(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}
