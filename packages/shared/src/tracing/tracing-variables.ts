import Type, { type Static, type TObject } from 'typebox'

/**
 * The variables of OpenTelemetry that decide whether and how traces are exported. The SDK reads them itself, and further
 * ones, which its specification lists ("Environment Variable Specification", "OTLP Exporter Configuration").
 */
export const tracingVariables = {
  OTEL_EXPORTER_OTLP_ENDPOINT: Type.Optional(
    Type.String({ pattern: '^https?://', description: 'an http:// or https:// URL' }),
  ),
  OTEL_EXPORTER_OTLP_PROTOCOL: Type.Enum(['http/protobuf', 'http/json'], { default: 'http/protobuf' }),
  OTEL_SDK_DISABLED: Type.Boolean({ default: false }),
}

/** How traces are exported. */
export type TracingSettings = { protocol: 'http/protobuf' | 'http/json' }

/** Returns how traces are exported, or undefined if they are not: there is no endpoint, or the SDK is disabled. */
export function tracingSettings(
  variables: Static<TObject<typeof tracingVariables>>,
): TracingSettings | undefined {
  if (variables.OTEL_EXPORTER_OTLP_ENDPOINT === undefined || variables.OTEL_SDK_DISABLED) return undefined
  return { protocol: variables.OTEL_EXPORTER_OTLP_PROTOCOL }
}
