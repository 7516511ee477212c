import type { ProcessIdentity } from './start-tracing.ts'
import { noTracing, type ProcessTracing } from './tracing.ts'
import type { TracingSettings } from './tracing-variables.ts'

/** The deadline of the shutdown phase that closes tracing, in ms: the last export has half a second less. */
export const tracingDeadlineMs = 2_000

/**
 * Starts tracing. Without it, nothing of OpenTelemetry is loaded.
 *
 * @param settings undefined: nothing is traced
 */
export async function loadTracing(
  settings: TracingSettings | undefined,
  identity: ProcessIdentity,
): Promise<ProcessTracing> {
  if (!settings) return noTracing
  const { startTracing } = await import('./start-tracing.ts')
  return startTracing(settings, identity)
}
