import type { KeptMutation } from '../mutation.ts'

export const identityMutations: readonly KeptMutation[] = []
