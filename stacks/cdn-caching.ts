/** Headers of CORS requests. Only preflight requests have the last two. */
const corsHeaders = ['Origin', 'Access-Control-Request-Method', 'Access-Control-Request-Headers']

/**
 * How CloudFront caches variants. In a file of its own, without globals of SST, so that a test can try it on the headers of real
 * variants.
 *
 * Times are in seconds. Variants say that they may be cached for a year. Those that were made before their keys contained hashes
 * are `private`, and their keys are written again: CloudFront obeys `private` only if the minimum is 0 (CloudFront API
 * Reference, "CachePolicyConfig").
 *
 * The key is the path alone, since what is under a key never changes. So all signatures of a variant, and all viewers, share a
 * copy, except for pages of other origins: S3 answers them by its CORS rules.
 */
export const variantCaching = {
  minTtl: 0,
  defaultTtl: 86_400,
  maxTtl: 31_536_000,
  parametersInCacheKeyAndForwardedToOrigin: {
    cookiesConfig: { cookieBehavior: 'none' },
    headersConfig: { headerBehavior: 'whitelist', headers: { items: corsHeaders } },
    queryStringsConfig: { queryStringBehavior: 'none' },
  },
}
