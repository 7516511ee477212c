import { accessMutations } from './access-mutations.ts'
import type { CloudMutation } from './cloud-mutation.ts'
import { dataMutations } from './data-mutations.ts'
import { edgeMutations } from './edge-mutations.ts'
import { monitoringMutations } from './monitoring-mutations.ts'
import { networkMutations } from './network-mutations.ts'
import { tierMutations } from './tier-mutations.ts'

/**
 * Mistakes that an engineer could make in stacks/, or in what stacks/ derive from. Each must make a test fail: a new one that
 * does not shows an intention that no test states.
 */
export const mutations: readonly CloudMutation[] = [
  ...dataMutations,
  ...edgeMutations,
  ...networkMutations,
  ...tierMutations,
  ...accessMutations,
  ...monitoringMutations,
]
