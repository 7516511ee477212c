import type { KeptMutation } from '../mutation.ts'

export const transfersMutations: readonly KeptMutation[] = []
