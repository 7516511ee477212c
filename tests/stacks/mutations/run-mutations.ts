import type { Mutation } from './mutation.ts'

/** What the tests said about a mutation: the names of failed tests, or why they could not run. */
export type Verdict = { failedTests: string[] } | { problem: string }

/**
 * Plants mutations one by one and reports those that no test notices.
 *
 * @param options.lanes each tests one mutation at a time; they run at the same time
 * @param options.signal ends the run after the mutations that are being tested
 * @returns the number of mutations that no test noticed, or that could not be tested
 */
export async function runMutations(options: {
  mutations: readonly Mutation[]
  lanes: readonly ((mutation: Mutation) => Promise<Verdict>)[]
  print: (line: string) => void
  signal?: AbortSignal
}): Promise<number> {
  const { mutations, lanes, print, signal } = options
  const waiting = [...mutations]
  const unnoticed: Mutation[] = []
  let problems = 0
  await Promise.all(
    lanes.map(async (test) => {
      for (let next = waiting.shift(); next && !signal?.aborted; next = waiting.shift()) {
        const verdict = await test(next)
        if (signal?.aborted) break
        if ('problem' in verdict) {
          problems += 1
          print(`✘ ${next.name}: ${verdict.problem}`)
        } else if (verdict.failedTests.length === 0) {
          unnoticed.push(next)
          print(`✘ ${next.name}: no test fails`)
        } else {
          print(`• ${next.name}: ${verdict.failedTests.join('; ')}`)
        }
      }
    }),
  )
  if (signal?.aborted) {
    print('✘ The run was interrupted.')
    return problems + unnoticed.length + 1
  }
  for (const { name, file, before, after, effect } of unnoticed) {
    print(`\n✘ No test notices "${name}": ${effect}\n  ${file}\n  - ${before}\n  + ${after}`)
  }
  print(
    `\n${mutations.length - unnoticed.length - problems} of ${mutations.length} mutations make a test fail`,
  )
  return unnoticed.length + problems
}

/** Returns the mutations whose name or file contains any of the texts; all without a text. */
export function selectMutations(mutations: readonly Mutation[], texts: readonly string[]): Mutation[] {
  if (texts.length === 0) return [...mutations]
  return mutations.filter(({ name, file }) =>
    texts.some((text) => name.includes(text) || file.includes(text)),
  )
}
