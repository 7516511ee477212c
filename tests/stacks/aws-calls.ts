import { readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { root } from '../support/sst-platform.ts'

/** Functions of ours and of the SDK that send commands whose keys or queue their caller chooses. */
const wrappers = [
  'createJsonObjects',
  'createEraseObjects',
  'createEraseUnfinished',
  'createEraseObject',
  'createPresignedPost',
  'signer.sign',
  'signer.signAll',
]
const callForm = new RegExp(
  `(?<!function[* ]+)\\b(?:new (\\w+Command)|(paginate\\w+|${wrappers.join('|').replaceAll('.', '\\.')}))(?=[(<])`,
  'g',
)
const importForm = /^(?:(import type|import|export)\b[^'"]*?\bfrom\s+|import\s+)['"]([^'"]+)['"]/gm
const dynamicImportForm = /\bimport\(\s*['"]([^'"]+)['"]/g

/** Programs that a tier's instances run: the service, and the commands that people run in its container. */
export const programs = {
  api: ['packages/api/src/main.ts', 'packages/api/src/api-key-main.ts'],
  worker: [
    'packages/worker/src/main.ts',
    'packages/worker/src/redrive-main.ts',
    'packages/worker/src/reconcile-main.ts',
    'packages/worker/src/reprocess-main.ts',
  ],
}

/**
 * Finds where programs call AWS: commands of the SDK, its paginators, and the wrappers above, in each file that the programs
 * import.
 *
 * @param mains relative to the repository's root
 * @returns the names of calls by file, relative to packages/
 */
export function awsCallsOf(mains: readonly string[]): Map<string, string[]> {
  const texts = new Map<string, string>()
  const waiting = mains.map((main) => join(root, main))
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (texts.has(path)) continue
    const text = readFileSync(path, 'utf8')
    texts.set(path, text)
    waiting.push(...importsOf(path, text))
  }
  const calls = new Map<string, string[]>()
  for (const [path, text] of texts) {
    const code = text.replaceAll(/^ *(\/\*.*?\*\/|\/\/[^\n]*)/gms, '')
    const names = Array.from(code.matchAll(callForm), ([, command, wrapper]) => command ?? wrapper ?? '')
    if (names.length > 0) calls.set(relative(join(root, 'packages'), path), [...new Set(names)].sort())
  }
  return calls
}

/** Finds what the boot script asks of AWS: calls of its CLI, and what Docker does. */
export function awsCallsOfUserData(): string[] {
  const script = readFileSync(join(root, 'stacks/user-data.sh'), 'utf8').replaceAll(/^ *#.*$/gm, '')
  const calls = Array.from(script.matchAll(/\baws ([\w-]+) ([\w-]+)/g), ([, service, command]) => {
    return `aws ${service} ${command}`
  })
  const docker = ['docker pull', '--log-driver awslogs'].filter((words) => script.includes(words))
  return [...new Set([...calls, ...docker])].sort()
}

/** Returns the files of ours that a file imports, without those that it imports types of. */
function importsOf(path: string, text: string): string[] {
  const loaded = Array.from(text.matchAll(importForm)).flatMap(([, kind, name = '']) =>
    kind === 'import type' ? [] : [name],
  )
  const later = Array.from(text.matchAll(dynamicImportForm), ([, name = '']) => name)
  return [...loaded, ...later].flatMap((name) => {
    if (!name.endsWith('.ts')) return []
    if (name.startsWith('.')) return [join(dirname(path), name)]
    const [, folder = '', file = ''] = /^@millrace\/([\w-]+)\/(.+)$/.exec(name) ?? []
    return folder ? [join(root, 'packages', folder, 'src', file)] : []
  })
}
