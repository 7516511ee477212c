import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { root } from '../support/sst-platform.ts'

/**
 * Reads what changed since the checked-out commit left another branch, with what is not committed yet.
 *
 * @param base the other branch, or a commit
 * @returns the changed lines of each file that was added or changed, counted from 1
 * @throws Error if git does not know the commit
 */
export async function readChangedLines(base: string): Promise<Map<string, Set<number>>> {
  const git = async (...args: string[]) => {
    const { stdout } = await promisify(execFile)('git', args, { cwd: root, maxBuffer: 256 * 1024 * 1024 })
    return stdout
  }
  const left = (await git('merge-base', base, 'HEAD')).trim()
  const changed = parseDiff(
    await git('diff', '--unified=0', '--no-color', '--no-ext-diff', '--no-renames', left, '--'),
  )
  const added = (await git('ls-files', '--others', '--exclude-standard')).split('\n').filter(Boolean)
  for (const file of added) {
    const { length } = (await readFile(join(root, file), 'utf8')).split('\n')
    changed.set(file, new Set(Array.from({ length }, (_, index) => index + 1)))
  }
  return changed
}

/** Reads the new lines of a unified diff without context. */
export function parseDiff(diff: string): Map<string, Set<number>> {
  const changed = new Map<string, Set<number>>()
  let lines = new Set<number>()
  // A changed line may look as a file's header does.
  let isHeader = false
  for (const line of diff.split('\n')) {
    if (line.startsWith('diff --git ')) isHeader = true
    const [, file] = (isHeader && /^\+\+\+ b\/(.*)$/.exec(line)) || []
    if (file !== undefined) {
      lines = new Set()
      changed.set(file, lines)
    }
    const [, first, count = '1'] = /^@@ -\S+ \+(\d+)(?:,(\d+))? @@/.exec(line) ?? []
    if (first === undefined) continue
    isHeader = false
    for (let index = 0; index < Number(count); index++) lines.add(Number(first) + index)
  }
  return changed
}
