import type { KeptMutation } from '../mutation.ts'

export const arrivalsMutations: readonly KeptMutation[] = []
