/**
 * Connects to CloudWatch. The client is loaded only if metrics are written, to start faster off AWS.
 *
 * @param stage the stage whose metrics are written; undefined: none
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
