import type { S3Client } from '@aws-sdk/client-s3'

/** Middleware of the SDK that costs a request some CPU time and does nothing for us. */
const unneeded = [
  // Describes each request and response for a log that is off.
  'loggerMiddleware',
  // For functions of AWS Lambda that call themselves.
  'recursionDetectionMiddleware',
  // Lists the features of the SDK that a request uses. A constant name replaces it.
  'getUserAgentMiddleware',
]

/** Shows in S3's and CloudTrail's logs. */
const userAgent = 'millrace (aws-sdk-js)'

/**
 * Makes the requests of a client for S3 cheaper: removes middleware that does nothing for us, and keeps the signer, which the
 * SDK creates for each request. The signer reads the credentials for each request, and gets the region with it.
 *
 * Measured with `GetObject`, `PutObject` and `HeadObject` of small objects: 1.4 instead of 1.7 ms of CPU for the three.
 */
export function lightenS3(s3: S3Client): S3Client {
  const { config, middlewareStack } = s3
  const createSigner = config.signer
  let signer: ReturnType<typeof createSigner> | undefined
  config.signer = async (scheme) => {
    signer ??= createSigner(scheme)
    try {
      return await signer
    } catch (error) {
      signer = undefined
      throw error
    }
  }
  for (const name of unneeded) middlewareStack.remove(name)
  middlewareStack.add(
    (next) => (args) => {
      if (hasHeaders(args.request)) args.request.headers['user-agent'] = userAgent
      return next(args)
    },
    { step: 'build', name: 'userAgent' },
  )
  return s3
}

/** Whether a request of the SDK has headers, as all of HTTP have. */
export function hasHeaders(request: unknown): request is { headers: Record<string, string> } {
  return typeof request === 'object' && request !== null && 'headers' in request
}
