/** A mistake that an engineer could make. */
export type Mutation = {
  /** Unique; `npm run mutate -- <text>` selects by a part of it, or of `file`. */
  name: string
  /** Relative to the repository's root. */
  file: string
  /** Text that occurs exactly once in the file. */
  before: string
  /** What replaces it. */
  after: string
  /** What a user would notice, as a sentence. */
  effect: string
}

/** A mutation that tests must notice. */
export type KeptMutation = Mutation & {
  /** Test files that must notice it, relative to tests/; the first that notices ends its run. */
  tests: readonly [string, ...string[]]
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
