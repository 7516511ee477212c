import { getSignedUrl } from '@aws-sdk/cloudfront-signer'

/** A CloudFront distribution in front of the bucket, and the key whose signatures it trusts. */
export type Cdn = {
  /** Such as `https://d111111abcdef8.cloudfront.net`. */
  origin: string
  keyPairId: string
  /** RSA, PEM. */
  privateKey: string
}

/**
 * Signs CloudFront URLs of objects in the bucket, with a canned policy: the very URL, until a time.
 */
export function createCdnSigner({ origin, keyPairId, privateKey }: Cdn) {
  return {
    origin,
    /** @returns the URL, valid for anyone until `expiresAt` */
    sign(key: string, expiresAt: Date): string {
      const path = key.split('/').map(encodeURIComponent).join('/')
      return getSignedUrl({ url: `${origin}/${path}`, keyPairId, privateKey, dateLessThan: expiresAt })
    },
  }
}

export type CdnSigner = ReturnType<typeof createCdnSigner>
