import type { Tier } from '@millrace/shared/fleet/heartbeats.ts'
import type { Cdn } from './cdn.ts'
import type { EncryptionKey } from './encryption-key.ts'
import type { Place } from './place.ts'
import type { Redis } from './redis.ts'

/**
 * Creates the keys that seal sessions. All regions use the same ones. A name added in front of the list creates a new
 * key, which seals from then on; the older keys still open.
 */
export function createSessionKeys(generations: readonly string[]) {
  const keys = generations.map((name) => new random.RandomBytes(`SessionKey${name}`, { length: 32 }).base64)
  return $util.secret($resolve(keys).apply((all) => all.join(',')))
}

/** The secrets that are the same in every region. */
export type SharedSecrets = {
  sessionKeys: $util.Input<string>
  apiKeys: $util.Input<string>
  /** undefined: JWTs are verified with public keys, or not accepted. */
  jwtSecret: $util.Input<string> | undefined
  /** Headers of the collector of traces, such as its key. undefined: nothing is traced. */
  otlpHeaders: $util.Input<string> | undefined
}

/**
 * Creates the secrets that instances read when they boot: parameters `/millrace/{stage}/{tier}/{VARIABLE}` in SSM,
 * encrypted with the region's key. Each tier may read its own.
 *
 * @param options.shared secrets that are the same in every region
 * @returns for each tier a text that changes with any of its secrets
 */
export function createSecrets(options: {
  place: Place
  key: EncryptionKey
  redis: Redis
  shared: SharedSecrets
  cdn: Cdn | undefined
}) {
  const { place, key, redis, shared, cdn } = options
  const create = (tier: Tier, variable: string, value: $util.Input<string>) =>
    new aws.ssm.Parameter(
      place.id(`${tier === 'api' ? 'Api' : 'Worker'}${pascal(variable)}`),
      { name: `${secretsPath(place, tier)}/${variable}`, type: 'SecureString', keyId: key.arn, value },
      place.options,
    )
  /** Both tiers export traces. */
  const tracing = (tier: Tier) =>
    shared.otlpHeaders === undefined ? [] : [create(tier, 'OTEL_EXPORTER_OTLP_HEADERS', shared.otlpHeaders)]
  const api = [
    create('api', 'REDIS_URL', redis.url),
    create('api', 'SESSION_KEYS', shared.sessionKeys),
    create('api', 'API_KEYS', shared.apiKeys),
    ...(shared.jwtSecret === undefined ? [] : [create('api', 'JWT_SECRET', shared.jwtSecret)]),
    ...(cdn ? [create('api', 'CDN_PRIVATE_KEY', cdn.privateKey)] : []),
    ...tracing('api'),
  ]
  const worker = [create('worker', 'REDIS_URL', redis.url), ...tracing('worker')]
  return { versions: { api: versionOf(api), worker: versionOf(worker) } }
}

/** Returns the path of a tier's parameters in SSM. */
export function secretsPath(place: Place, tier: Tier): string {
  return `/millrace/${place.stage}/${tier}`
}

function versionOf(parameters: aws.ssm.Parameter[]): $util.Output<string> {
  return $resolve(parameters.map(({ version }) => version)).apply((versions) => versions.join('.'))
}

/** `REDIS_URL` → `RedisUrl` */
function pascal(variable: string): string {
  return variable.toLowerCase().replace(/(^|_)(\w)/g, (_, _line, letter: string) => letter.toUpperCase())
}
