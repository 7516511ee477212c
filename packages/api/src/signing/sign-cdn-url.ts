import { getSignedUrl } from '@aws-sdk/cloudfront-signer'

/** A CloudFront distribution in front of the bucket, and the key that signs its URLs. */
export type Cdn = {
  /** For example `https://d111111abcdef8.cloudfront.net`. */
  origin: string
  keyPairId: string
  /** RSA key in PEM. */
  privateKey: string
}

/**
 * Creates a signer of CloudFront URLs for objects in the bucket. It uses the canned policy: one URL, until a
 * given time.
 */
export function createCdnSigner({ origin, keyPairId, privateKey }: Cdn) {
  return {
    origin,
    /**
     * Returns a URL of the object, valid for every client until `expiresAt`.
     * @param query parameters that neither CloudFront's cache (stacks/cdn.ts) nor S3 looks at, so that a browser has several
     *   URLs of an object
     */
    sign(key: string, expiresAt: Date, query: Record<string, string> = {}): string {
      const path = key.split('/').map(encodeURIComponent).join('/')
      const search = new URLSearchParams(query).toString()
      const url = `${origin}/${path}${search && `?${search}`}`
      return getSignedUrl({ url, keyPairId, privateKey, dateLessThan: expiresAt })
    },
  }
}

export type CdnSigner = ReturnType<typeof createCdnSigner>
