import type { S3Client } from '@aws-sdk/client-s3'
import { createPresignedPost } from '@aws-sdk/s3-presigned-post'
import { SignatureV4 } from '@smithy/signature-v4'

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

/**
 * Signs S3 URLs (Signature Version 4, query parameters; the body stays unsigned, as its sender is not us).
 * Done with the signer itself rather than the SDK's `getSignedUrl`, which runs the whole command for each
 * URL: eight times the CPU, which a batch of 100 parts would spend on the event loop.
 *
 * @param deps.s3 whose credentials, region and endpoint are used
 * @param deps.bucket the bucket of all keys
 */
export function createUrlSigner({ s3, bucket }: { s3: S3Client; bucket: string }) {
  const signer = new SignatureV4({
    service: 's3',
    region: s3.config.region,
    credentials: s3.config.credentials,
    sha256: s3.config.sha256,
    uriEscapePath: false,
    applyChecksum: false,
  })
  let bucketUrl: Promise<URL> | undefined

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

  return {
    /** @returns the origin under which browsers reach the bucket, for a content security policy */
    async origin(): Promise<string> {
      return (await findBucket()).origin
    },

    /** @returns the URL, valid for anyone until it expires */
    async sign({ method, key, query = {}, expiresInSeconds, signedAt }: UrlToSign): Promise<string> {
      const base = await findBucket()
      const path = `${base.pathname.replace(/\/$/, '')}/${key.split('/').map(encodeURIComponent).join('/')}`
      const signed = await signer.presign(
        {
          method,
          protocol: base.protocol,
          hostname: base.hostname,
          ...(base.port && { port: Number(base.port) }),
          path,
          query,
          headers: { host: base.host, 'X-Amz-Content-Sha256': 'UNSIGNED-PAYLOAD' },
        },
        { expiresIn: expiresInSeconds, ...(signedAt && { signingDate: signedAt }) },
      )
      const parameters = Object.entries(signed.query ?? {}).map(
        ([name, value]) => `${escapeUri(name)}=${escapeUri(String(value))}`,
      )
      return `${base.origin}${path}?${parameters.join('&')}`
    },
  }
}

export type UrlSigner = ReturnType<typeof createUrlSigner>

/** RFC 3986 percent-encoding, as the signature counts it: `encodeURIComponent` leaves `!'()*` alone. */
function escapeUri(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}
