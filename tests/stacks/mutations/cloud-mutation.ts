import type { Mutation } from '../../mutations/mutation.ts'
import type { CloudName } from '../cloud-options.ts'

/** A mistake in stacks/, which the tests of the built clouds must notice. */
export type CloudMutation = Mutation & {
  effect: string
  /** The clouds in which the mutation shows. The others are taken from an unchanged build. Default: production only. */
  clouds?: CloudName[]
  /** Files of tests/stacks that run. Default: those of cloud.test.ts that read the built clouds. */
  tests?: string[]
}
