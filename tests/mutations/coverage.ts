import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

/** V8's report of one process, of the parts that are read: https://chromedevtools.github.io/devtools-protocol/tot/Profiler/ */
type Report = {
  result: {
    url: string
    functions: { ranges: { startOffset: number; endOffset: number; count: number }[] }[]
  }[]
}

/**
 * Reads which parts of the source ran, from the reports that Node's processes wrote into `NODE_V8_COVERAGE`. Node removes
 * types without moving a character, so V8's offsets are those of the source files.
 *
 * @param directory of the reports; a killed process wrote none
 * @param tree the root of the sources
 * @returns whether the character at an offset of a file (relative to the tree) ran in any process
 */
export async function readCoverage(directory: string, tree: string) {
  const prefix = `${pathToFileURL(tree)}/`
  const runs = new Map<string, Report['result'][number]['functions'][]>()
  for (const name of await readdir(directory)) {
    const report: Report = JSON.parse(await readFile(join(directory, name), 'utf8'))
    for (const { url, functions } of report.result) {
      if (!url.startsWith(prefix)) continue
      const file = decodeURIComponent(url.slice(prefix.length)).replace(/\?.*$/, '')
      const known = runs.get(file)
      if (known) known.push(functions)
      else runs.set(file, [functions])
    }
  }
  return (file: string, offset: number) =>
    (runs.get(file) ?? []).some((functions) => hasRun(functions, offset))
}

/** The smallest range around an offset counts its runs. */
function hasRun(functions: Report['result'][number]['functions'], offset: number): boolean {
  let smallest = { length: Number.POSITIVE_INFINITY, count: 0 }
  for (const { ranges } of functions) {
    for (const { startOffset, endOffset, count } of ranges) {
      const length = endOffset - startOffset
      if (startOffset <= offset && offset < endOffset && length <= smallest.length)
        smallest = { length, count }
    }
  }
  return smallest.count > 0
}

export type Coverage = Awaited<ReturnType<typeof readCoverage>>
