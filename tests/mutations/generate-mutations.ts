import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Instrumenter } from '@stryker-mutator/instrumenter'
import { root } from '../support/sst-platform.ts'
import type { Mutation } from './mutation.ts'

/** Kinds of mutants that rarely are plausible mistakes: texts, and what types already forbid. */
const skippedKinds = new Set(['StringLiteral', 'ObjectLiteral', 'ArrayDeclaration', 'OptionalChaining'])
/** Statements that only write logs, count or name operations: a user notices nothing. */
const skippedLines = /\blog(ger)?\.(trace|debug|info|warn|error)\(|^\s*(import|export \*)/

type Position = { line: number; column: number }

const ignore = () => {}
const no = () => false
const logger = {
  isTraceEnabled: no,
  isDebugEnabled: no,
  isInfoEnabled: no,
  isWarnEnabled: no,
  isErrorEnabled: no,
  isFatalEnabled: no,
  trace: ignore,
  debug: ignore,
  info: ignore,
  warn: ignore,
  error: ignore,
  fatal: ignore,
}

/**
 * Generates the mutations of a source file, with the mutators of StrykerJS: conditions, comparisons, arithmetic, calls,
 * blocks, returned values. See https://stryker-mutator.io/docs/mutation-testing-elements/supported-mutators/.
 *
 * @param options.tree the root of the sources; default: the repository
 * @param options.file relative to the tree
 * @param options.isWanted whether a line is mutated, counted from 1; default: all are
 */
export async function generateMutations(options: {
  tree?: string
  file: string
  isWanted?: (line: number) => boolean
}): Promise<Mutation[]> {
  const { tree = root, file, isWanted = () => true } = options
  const content = readFileSync(join(tree, file), 'utf8')
  const lines = content.split('\n')
  const offsetOf = ({ line, column }: Position) =>
    lines.slice(0, line).reduce((sum, text) => sum + text.length + 1, 0) + column
  const { mutants } = await new Instrumenter(logger).instrument([{ name: file, mutate: true, content }], {
    excludedMutations: [],
    ignorers: [],
    plugins: null,
  })
  return mutants.flatMap(({ mutatorName, location, replacement }) => {
    const line = location.start.line + 1
    if (skippedKinds.has(mutatorName) || !isWanted(line) || skippedLines.test(lines[line - 1] ?? ''))
      return []
    const offset = offsetOf(location.start)
    const before = content.slice(offset, offsetOf(location.end))
    // The replacement of an expression is one: as in the source, parentheses keep it together.
    const after = mutatorName === 'BlockStatement' ? replacement : `(${replacement})`
    return [
      {
        name: `${file}:${line} ${mutatorName} ${shorten(before)} → ${shorten(replacement)}`,
        file,
        before,
        after,
        offset,
      },
    ]
  })
}

/** Returns a text on one line, with at most 50 characters. */
function shorten(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ')
  return line.length > 50 ? `${line.slice(0, 49)}…` : line
}
