import Type from 'typebox'
import type { ReportProblem } from '../service/environment.ts'

/** The protocols that are spoken. gRPC would need 3 MB of packages; each collector takes HTTP as well, on port 4318. */
const protocols = ['http/protobuf', 'http/json'] as const

/**
 * The variables of OpenTelemetry that decide whether and how traces are exported. Its SDK reads them too, and further ones,
 * which its specification lists ("Environment Variable Specification", "OTLP Exporter Configuration").
 */
export const tracingVariables = {
  OTEL_EXPORTER_OTLP_ENDPOINT: Type.Optional(
    Type.Refine(Type.String({ pattern: '^https?://', description: 'an http:// or https:// URL' }), (text) =>
      URL.canParse(text),
    ),
  ),
  // Checked only if there is an endpoint: other programs of the machine may use the variable.
  OTEL_EXPORTER_OTLP_PROTOCOL: Type.String({ default: protocols[0] }),
  OTEL_SDK_DISABLED: Type.String({ default: 'false' }),
}

/** How traces are exported. */
export type TracingSettings = { protocol: (typeof protocols)[number] }

/**
 * Reads how traces are exported.
 *
 * @param text returns the text of a variable
 * @param report is called for a protocol that is not spoken
 * @returns undefined if they are not: there is no endpoint, or the SDK is disabled
 */
export function readTracingSettings(
  text: (name: keyof typeof tracingVariables) => string | undefined,
  report: ReportProblem,
): TracingSettings | undefined {
  const isDisabled = text('OTEL_SDK_DISABLED')?.toLowerCase() === 'true'
  if (text('OTEL_EXPORTER_OTLP_ENDPOINT') === undefined || isDisabled) return undefined
  const wanted = text('OTEL_EXPORTER_OTLP_PROTOCOL')
  const protocol = protocols.find((known) => known === wanted)
  if (protocol) return { protocol }
  report(`OTEL_EXPORTER_OTLP_PROTOCOL is "${wanted}"; allowed: ${protocols.join(', ')}.`)
  return undefined
}
