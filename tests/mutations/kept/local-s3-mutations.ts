import type { KeptMutation } from '../mutation.ts'

export const localS3Mutations: readonly KeptMutation[] = []
