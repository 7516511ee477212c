// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are texts of files, which contain template strings
import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/shared/src/erasure'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'erasure: one round of deletion is enough',
    file: `${room}/erase-objects.ts`,
    before: 'const maxRounds = 5',
    after: 'const maxRounds = 1',
    effect: 'Every erasure fails, since nothing verifies it.',
    tests: ['api/uploads/erase.test.ts'],
  },
]
