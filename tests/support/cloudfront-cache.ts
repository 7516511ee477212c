import { GetObjectCommand, NoSuchKey, type S3Client } from '@aws-sdk/client-s3'

/** A cache policy of CloudFront, as far as the model knows it. Times in seconds. */
export type CachePolicy = {
  minTtl: number
  defaultTtl: number
  maxTtl: number
  parametersInCacheKeyAndForwardedToOrigin: {
    cookiesConfig: { cookieBehavior: string }
    headersConfig: { headerBehavior: string; headers: { items: string[] } }
    queryStringsConfig: { queryStringBehavior: string }
  }
}

type Copy = { path: string; body: string | undefined; freshUntilMs: number }

/**
 * Creates a model of CloudFront's cache as AWS documents it (CloudFront Developer Guide, "Understand the cache key" and "Manage
 * how long content stays in the cache (expiration)"; API Reference, "CachePolicyConfig"):
 *
 *   - the key is the path with the policy's headers and query parameters. The rest is not sent to S3 either
 *   - `private`, `no-store`, `no-cache`: kept for the minimum, so not at all if that is 0
 *   - `s-maxage`, else `max-age`: between the minimum and the maximum. Neither: the default
 *   - each request needs a signature that has not ended, also for what is cached
 *   - an invalidation of a path that ends with `*` removes all copies whose path begins so
 *
 * It does not verify signatures, and has one edge location.
 */
export function createCloudFrontCache(options: { s3: S3Client; bucket: string; policy: CachePolicy }) {
  const { s3, bucket, policy } = options
  const { cookiesConfig, headersConfig, queryStringsConfig } = policy.parametersInCacheKeyAndForwardedToOrigin
  if (cookiesConfig.cookieBehavior !== 'none' || queryStringsConfig.queryStringBehavior !== 'none')
    throw new Error('The model knows no cookies and no query parameters in the key.')
  const copies = new Map<string, Copy>()

  function lifeMs(cacheControl = ''): number {
    const directives = new Map(
      cacheControl.split(',').map((directive): [string, string] => {
        const [name = '', value = ''] = directive.trim().toLowerCase().split('=')
        return [name, value]
      }),
    )
    const { minTtl, defaultTtl, maxTtl } = policy
    if (['private', 'no-store', 'no-cache'].some((name) => directives.has(name))) return minTtl * 1000
    const age = directives.get('s-maxage') ?? directives.get('max-age')
    if (age === undefined) return Math.max(minTtl, defaultTtl) * 1000
    return Math.min(maxTtl, Math.max(minTtl, Number(age))) * 1000
  }

  async function fetchFromS3(
    path: string,
  ): Promise<{ body: string | undefined; cacheControl?: string | undefined }> {
    try {
      const Key = decodeURIComponent(path.slice(1))
      const { Body, CacheControl: cacheControl } = await s3.send(
        new GetObjectCommand({ Bucket: bucket, Key }),
      )
      return { body: await Body?.transformToString('base64'), cacheControl }
    } catch (error) {
      if (error instanceof NoSuchKey) return { body: undefined }
      throw error
    }
  }

  return {
    /**
     * Requests a URL.
     * @param viewer headers in lower case, and the time in ms since 1970; default: now
     * @returns the file in base64, undefined if there is none or the signature has ended, and whether a copy was served
     */
    async get(
      url: string,
      viewer: { headers?: Record<string, string>; nowMs?: number } = {},
    ): Promise<{ body: string | undefined; isHit: boolean }> {
      const { headers = {}, nowMs = Date.now() } = viewer
      const { pathname: path, searchParams } = new URL(url)
      const isSigned = searchParams.has('Signature') && Number(searchParams.get('Expires')) * 1000 > nowMs
      if (!isSigned) return { body: undefined, isHit: false }
      const key = [
        path,
        ...headersConfig.headers.items.map((name) => headers[name.toLowerCase()] ?? ''),
      ].join('\n')
      const copy = copies.get(key)
      if (copy && copy.freshUntilMs > nowMs) return { body: copy.body, isHit: true }
      const { body, cacheControl } = await fetchFromS3(path)
      const life = body === undefined ? 0 : lifeMs(cacheControl)
      if (life > 0) copies.set(key, { path, body, freshUntilMs: nowMs + life })
      return { body, isHit: false }
    },

    invalidate(paths: string[]): void {
      for (const [key, { path }] of copies) {
        const isCovered = paths.some((each) =>
          each.endsWith('*') ? path.startsWith(each.slice(0, -1)) : path === each,
        )
        if (isCovered) copies.delete(key)
      }
    },
  }
}
