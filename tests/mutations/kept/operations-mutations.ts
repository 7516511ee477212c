import type { KeptMutation } from '../mutation.ts'

export const operationsMutations: readonly KeptMutation[] = []
