/**
 * Opens the way to CloudWatch, where there is one. Its client is loaded only then: off AWS nobody waits for it.
 *
 * @param stage whose metrics they are; undefined: nothing is written
 */
export async function connectMetrics(stage: string | undefined) {
  if (stage === undefined) return { putFleetMetrics: undefined, close: () => undefined }
  const { connectCloudWatch, createCloudWatchMetrics } = await import('./cloudwatch-metrics.ts')
  const cloudWatch = connectCloudWatch()
  return {
    putFleetMetrics: createCloudWatchMetrics({ cloudWatch, stage }),
    close: () => cloudWatch.destroy(),
  }
}
