import { relative } from 'node:path'

/**
 * Chooses the test files of a run.
 *
 * @param root the folder of all tests
 * @param found all test files
 * @param options.filters texts of which a chosen path contains one; without any, all paths fit
 * @param options.all whether slow files run although no filter names them
 * @param options.slow names the slow files, by their paths below `root`
 * @returns the chosen files, and how many slow ones are left out
 */
export function chooseFiles(
  root: string,
  found: string[],
  options: { filters: string[]; all: boolean; slow: object },
): { files: string[]; leftOut: number } {
  const { filters, all, slow } = options
  if (filters.length > 0) {
    return { files: found.filter((path) => filters.some((filter) => path.includes(filter))), leftOut: 0 }
  }
  const files = all ? found : found.filter((path) => !Object.hasOwn(slow, relative(root, path)))
  return { files, leftOut: found.length - files.length }
}
