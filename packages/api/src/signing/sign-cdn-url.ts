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
     * @param version names the object's bytes; undefined if they are not known. CloudFront caches each version by itself
     *   (stacks/cdn.ts), and S3 ignores it
     */
    sign(key: string, expiresAt: Date, version?: string): string {
      const path = key.split('/').map(encodeURIComponent).join('/')
      const url = `${origin}/${path}${version === undefined ? '' : `?v=${version}`}`
      return getSignedUrl({ url, keyPairId, privateKey, dateLessThan: expiresAt })
    },
  }
}

export type CdnSigner = ReturnType<typeof createCdnSigner>
