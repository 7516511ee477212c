/**
 * Opens the way to CloudWatch, where there is one. Its client is loaded only then: off AWS nobody waits for it.
 *
 * @param stage whose metrics they are; undefined: nothing is written
 */
export async function openMetrics(stage: string | undefined) {
  if (stage === undefined) return { putLoad: undefined, close: () => undefined }
  const { connectCloudWatch, createCloudWatchMetrics } = await import('./cloudwatch-metrics.ts')
  const cloudWatch = connectCloudWatch()
  return { putLoad: createCloudWatchMetrics({ cloudWatch, stage }), close: () => cloudWatch.destroy() }
}
