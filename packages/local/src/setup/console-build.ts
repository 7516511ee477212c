import { readdir, rename, rm, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { hasErrorCode } from './error-code.ts'
import { runCommand } from './run-command.ts'
import { StartError } from './start-error.ts'

const packages = join(import.meta.dirname, '../../..')
const consolePackage = join(packages, 'console')
/** The inputs of the build. Other files do not change its result. */
const sources = [
  join(consolePackage, 'src'),
  join(consolePackage, 'index.html'),
  join(consolePackage, 'favicon.svg'),
  join(consolePackage, 'vite.config.ts'),
  join(consolePackage, 'package.json'),
  join(packages, 'client/src'),
]

/**
 * Builds the console with Vite, unless the last build is newer than all of its sources.
 * @param print receives one line before a build starts
 * @returns the directory that contains the built page
 * @throws StartError with Vite's output if the build fails
 */
export async function buildConsole(print: (line: string) => void): Promise<string> {
  const directory = join(consolePackage, 'dist')
  const builtAt = await modifiedAt(join(directory, 'index.html'))
  const newestSource = Math.max(...(await Promise.all(sources.map(lastModifiedIn))))
  if (builtAt > newestSource) return directory

  print('Building the console…')
  // Built in a temporary directory and then renamed, so that an interrupted build is never taken as finished.
  const temporaryDirectory = join(consolePackage, '.millrace', `build-${process.pid}`)
  const vite = join(
    dirname(createRequire(join(consolePackage, 'package.json')).resolve('vite/package.json')),
    'bin/vite.js',
  )
  const parameters = [vite, 'build', '--outDir', temporaryDirectory, '--emptyOutDir']
  const { code, output } = await runCommand(process.execPath, parameters, { cwd: consolePackage })
  if (code !== 0) throw new StartError(`The console could not be built.\n${output}`)
  await rm(directory, { recursive: true, force: true })
  await rename(temporaryDirectory, directory)
  return directory
}

/** Returns when a file was last modified, in ms since 1970; 0 if it does not exist. */
async function modifiedAt(path: string): Promise<number> {
  try {
    return (await stat(path)).mtimeMs
  } catch (error) {
    if (hasErrorCode(error, 'ENOENT')) return 0
    throw error
  }
}

/** Returns the last modification of a file or of anything in a folder. Deleting a file modifies its folder. */
async function lastModifiedIn(path: string): Promise<number> {
  const own = await modifiedAt(path)
  if (own === 0 || !(await stat(path)).isDirectory()) return own
  const names = await readdir(path)
  return Math.max(own, ...(await Promise.all(names.map((name) => lastModifiedIn(join(path, name))))))
}
