/** The oldest Redis that BullMQ recommends; our scripts use its commands as well. */
export const oldestRedisVersion = '6.2'

/** Returns whether a version of Redis or Valkey, such as `7.0.15`, is older than what is required. */
export function isOldRedis(version: string): boolean {
  return version.localeCompare(oldestRedisVersion, 'en', { numeric: true }) < 0
}
