import type { KeptMutation } from '../mutation.ts'

export const imagesMutations: readonly KeptMutation[] = []
