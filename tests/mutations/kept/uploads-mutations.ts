import type { KeptMutation } from '../mutation.ts'

export const uploadsMutations: readonly KeptMutation[] = []
