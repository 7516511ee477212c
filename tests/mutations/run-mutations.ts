import type { Mutation } from './mutation.ts'

/** What the tests said about a mutation: the names of failed tests, or why they could not run. */
export type Verdict = { failedTests: string[] } | { problem: string }

/** What became of the mutations of a run. `planned` counts those that were not begun as well. */
export type MutationCounts = { planned: number; killed: number; survived: number; problems: number }

/**
 * Plants mutations one by one and reports those that no test notices.
 *
 * @param options.lanes each tests one mutation at a time; they run at the same time
 * @param options.signal ends the run; what is being tested then does not count
 */
export async function runMutations<M extends Mutation>(options: {
  mutations: readonly M[]
  lanes: readonly ((mutation: M) => Promise<Verdict>)[]
  print: (line: string) => void
  signal?: AbortSignal
}): Promise<MutationCounts> {
  const { mutations, lanes, print, signal } = options
  const waiting = [...mutations]
  const survivors: Mutation[] = []
  const counts = { planned: mutations.length, killed: 0, survived: 0, problems: 0 }
  const progress = () => `${counts.killed + counts.survived + counts.problems}/${counts.planned}`
  await Promise.all(
    lanes.map(async (test) => {
      for (let next = waiting.shift(); next && !signal?.aborted; next = waiting.shift()) {
        const verdict = await test(next)
        if (signal?.aborted) break
        if ('problem' in verdict) {
          counts.problems += 1
          print(`✘ ${progress()} ${next.name}: ${verdict.problem}`)
        } else if (verdict.failedTests.length === 0) {
          counts.survived += 1
          survivors.push(next)
          print(`✘ ${progress()} ${next.name}: no test fails`)
        } else {
          counts.killed += 1
          print(`• ${progress()} ${next.name}: ${verdict.failedTests.join('; ')}`)
        }
      }
    }),
  )
  for (const { name, file, before, after, effect } of survivors) {
    print(
      `\n✘ No test notices "${name}"${effect ? `: ${effect}` : '.'}\n  ${file}\n  - ${before}\n  + ${after}`,
    )
  }
  return counts
}

/** Returns the mutations whose name or file contains any of the texts; all without a text. */
export function selectMutations<M extends Mutation>(mutations: readonly M[], texts: readonly string[]): M[] {
  if (texts.length === 0) return [...mutations]
  return mutations.filter(({ name, file }) =>
    texts.some((text) => name.includes(text) || file.includes(text)),
  )
}
