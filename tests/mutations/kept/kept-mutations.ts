import type { KeptMutation } from '../mutation.ts'
import { arrivalsMutations } from './arrivals-mutations.ts'
import { identityMutations } from './identity-mutations.ts'
import { imagesMutations } from './images-mutations.ts'
import { localS3Mutations } from './local-s3-mutations.ts'
import { operationsMutations } from './operations-mutations.ts'
import { transfersMutations } from './transfers-mutations.ts'
import { uploadsMutations } from './uploads-mutations.ts'

/**
 * Plausible mistakes in the most critical rooms. Each must make a test fail: a new one that does not shows an intention that
 * no test states. Those in stacks/ are in tests/stacks/mutations/, because their tests read a built cloud.
 */
export const keptMutations: readonly KeptMutation[] = [
  ...identityMutations,
  ...uploadsMutations,
  ...transfersMutations,
  ...localS3Mutations,
  ...arrivalsMutations,
  ...imagesMutations,
  ...operationsMutations,
]
