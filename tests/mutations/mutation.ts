/** A mistake that an engineer could make. */
export type Mutation = {
  /** Unique; `npm run mutate -- <text>` selects by a part of it, or of `file`. */
  name: string
  /** Relative to the repository's root. */
  file: string
  /** The text of the file that is replaced. */
  before: string
  /** What replaces it. */
  after: string
  /** What a user would notice, as a sentence. Generated mutations have none. */
  effect?: string
  /** Where `before` begins in the file, in UTF-16 units. Without it, the text must occur exactly once. */
  offset?: number
}

/** A mutation that tests must notice. */
export type KeptMutation = Mutation & {
  effect: string
  /** Test files that must notice it, relative to tests/; the first that notices ends its run. */
  tests: readonly [string, ...string[]]
}

/** @throws Error if the file's text does not contain the mutation's text, or contains it more than once */
export function applyMutation(text: string, { name, file, before, after, offset }: Mutation): string {
  if (offset !== undefined && text.startsWith(before, offset)) {
    return `${text.slice(0, offset)}${after}${text.slice(offset + before.length)}`
  }
  const [head, tail, ...more] = text.split(before)
  if (head === undefined || tail === undefined || offset !== undefined) {
    throw new Error(`Mutation "${name}": ${file} does not contain its text. Adapt \`before\`:\n${before}`)
  }
  if (more.length > 0) {
    throw new Error(
      `Mutation "${name}": ${file} contains its text ${more.length + 1} times. Lengthen \`before\`.`,
    )
  }
  return `${head}${after}${tail}`
}
