import { isOriginPattern, originForms, readOriginPatterns } from '@millrace/shared/network/allowed-origins.ts'
import { splitList } from '@millrace/shared/service/environment.ts'
import { StartError } from './start-error.ts'

/**
 * Reads ALLOWED_ORIGINS, which S3 needs as well as the API.
 *
 * @returns patterns for the bucket's CORS rules
 * @throws StartError with exit code 2 that names the first wrong item
 */
export function readLocalOrigins(environment: NodeJS.ProcessEnv): string[] {
  const list = environment['ALLOWED_ORIGINS'] ?? ''
  const wrong = splitList(list).find((item) => !isOriginPattern(item))
  if (wrong === undefined) return readOriginPatterns(list)
  throw new StartError(`ALLOWED_ORIGINS contains "${wrong}"; it must be ${originForms}, comma separated.`, 2)
}
