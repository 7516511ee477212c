import {
  CloudFrontClient,
  type CloudFrontClientConfig,
  CreateInvalidationCommand,
  TooManyInvalidationsInProgress,
} from '@aws-sdk/client-cloudfront'

/** CloudFront is controlled from one region (AWS General Reference, "Amazon CloudFront endpoints and quotas"). */
const controlRegion = 'us-east-1'

/**
 * Creates the function that invalidates what a CloudFront distribution has cached. Another file of this room loads it only if
 * there is a distribution.
 *
 * @param distributionId such as `E2QWRUHAPOMQZL`
 * @param config replaces what the SDK reads from its variables
 */
export function createInvalidateCdn(distributionId: string, config: CloudFrontClientConfig = {}) {
  const client = new CloudFrontClient({ region: controlRegion, ...config })
  return {
    /**
     * @param paths each with a `*` at its end
     * @param reference of this request: CloudFront makes no second invalidation of a request that is sent again
     * @returns false if too many invalidations are in progress: try again later
     */
    async invalidate(paths: string[], reference: string): Promise<boolean> {
      try {
        await client.send(
          new CreateInvalidationCommand({
            DistributionId: distributionId,
            InvalidationBatch: {
              CallerReference: reference,
              Paths: { Quantity: paths.length, Items: paths },
            },
          }),
        )
        return true
      } catch (error) {
        if (error instanceof TooManyInvalidationsInProgress) return false
        throw error
      }
    },
    close(): void {
      client.destroy()
    },
  }
}

export type InvalidateCdn = ReturnType<typeof createInvalidateCdn>
