import type { Bucket } from './bucket.ts'
import { variantCaching } from './cdn-caching.ts'
import type { Place } from './place.ts'

/**
 * Creates a CloudFront distribution for the variants. It may read the variants and nothing else in the bucket, which
 * stays private. Viewers need URLs that the API has signed with the key that is created here.
 */
export function createCdn({ place, bucket }: { place: Place; bucket: Bucket }) {
  const { id, name } = place
  const signer = new tls.PrivateKey(id('CdnKey'), { algorithm: 'RSA', rsaBits: 2048 })
  const publicKey = new aws.cloudfront.PublicKey(
    id('CdnPublicKey'),
    { encodedKey: signer.publicKeyPem, comment: name('variants') },
    place.options,
  )
  const keyGroup = new aws.cloudfront.KeyGroup(id('CdnKeyGroup'), { items: [publicKey.id] }, place.options)
  const access = new aws.cloudfront.OriginAccessControl(
    id('CdnAccess'),
    {
      name: name('variants'),
      originAccessControlOriginType: 's3',
      signingBehavior: 'always',
      signingProtocol: 'sigv4',
    },
    place.options,
  )
  const cachePolicy = new aws.cloudfront.CachePolicy(
    id('CdnCache'),
    {
      name: name('variants'),
      ...variantCaching,
    },
    place.options,
  )
  const originId = 'ledger'
  const distribution = new aws.cloudfront.Distribution(
    id('Cdn'),
    {
      enabled: true,
      comment: name('variants'),
      httpVersion: 'http2and3',
      isIpv6Enabled: true,
      priceClass: 'PriceClass_100',
      origins: [
        {
          originId,
          domainName: bucket.nodes.bucket.bucketRegionalDomainName,
          originAccessControlId: access.id,
        },
      ],
      defaultCacheBehavior: {
        targetOriginId: originId,
        viewerProtocolPolicy: 'https-only',
        allowedMethods: ['GET', 'HEAD', 'OPTIONS'],
        cachedMethods: ['GET', 'HEAD'],
        cachePolicyId: cachePolicy.id,
        trustedKeyGroups: [keyGroup.id],
        compress: false,
      },
      restrictions: { geoRestriction: { restrictionType: 'none' } },
      viewerCertificate: { cloudfrontDefaultCertificate: true },
    },
    place.options,
  )
  return {
    id: distribution.id,
    arn: distribution.arn,
    origin: $interpolate`https://${distribution.domainName}`,
    keyPairId: publicKey.id,
    /** A secret: PEM in base64, because it becomes one line of an environment file. */
    privateKey: $util.secret(signer.privateKeyPem.apply((pem) => Buffer.from(pem).toString('base64'))),
  }
}

export type Cdn = ReturnType<typeof createCdn>
