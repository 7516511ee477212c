import type { CloudName } from '../cloud-options.ts'

/** A mistake that an engineer could make, and that a test must notice. */
export type Mutation = {
  /** Unique; `npm run test:infra -- --mutate <text>` selects by a part of it, or of `file`. */
  name: string
  /** Relative to the repository's root. */
  file: string
  /** Text that occurs exactly once in the file. */
  before: string
  /** What replaces it. */
  after: string
  /** What a user would notice, as a sentence. */
  effect: string
  /** The clouds in which the mutation shows. The others are taken from an unchanged build. Default: production only. */
  clouds?: CloudName[]
  /** Files of tests/stacks that run. Default: those of cloud.test.ts that read the built clouds. */
  tests?: string[]
}

/** @throws Error if the file's text has the mutation's text not at all, or more than once */
export function applyMutation(text: string, { name, file, before, after }: Mutation): string {
  const [head, tail, ...more] = text.split(before)
  if (head === undefined || tail === undefined) {
    throw new Error(`Mutation "${name}": ${file} does not contain its text. Adapt \`before\`:\n${before}`)
  }
  if (more.length > 0) {
    throw new Error(
      `Mutation "${name}": ${file} contains its text ${more.length + 1} times. Lengthen \`before\`.`,
    )
  }
  return `${head}${after}${tail}`
}
