import type { EncryptionKey } from './encryption-key.ts'
import type { Place } from './place.ts'

/** Creates the log groups of all parts. Each is encrypted and keeps its entries for `days`. */
export function createLogGroups({ place, key, days }: { place: Place; key: EncryptionKey; days: number }) {
  const create = (part: string, name: string) =>
    new aws.cloudwatch.LogGroup(
      place.id(`${part}Log`),
      { name, retentionInDays: days, kmsKeyId: key.arn },
      place.options,
    )
  return {
    api: create('Api', `/millrace/${place.stage}/api`),
    worker: create('Worker', `/millrace/${place.stage}/worker`),
    redis: create('Redis', `/millrace/${place.stage}/redis`),
    // WAF requires this prefix.
    firewall: create('Firewall', `aws-waf-logs-${place.name('firewall')}`),
    // EventBridge requires this prefix.
    scaling: create('ScalingEvents', `/aws/events/${place.name('scaling')}`),
  }
}

export type LogGroups = ReturnType<typeof createLogGroups>
