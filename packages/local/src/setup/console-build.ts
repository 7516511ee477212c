import { spawn } from 'node:child_process'
import { readdir, rename, rm, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { StartError } from './start-error.ts'

const packages = join(import.meta.dirname, '../../..')
const consolePackage = join(packages, 'console')
/** What the build is made of. Names that are absent here do not change it. */
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
 * @param say is told, in one line, when there is something to build
 * @returns the directory that holds the built page
 * @throws StartError with Vite's own words when the build fails
 */
export async function buildConsole(say: (line: string) => void): Promise<string> {
  const directory = join(consolePackage, 'dist')
  const builtAt = await changedAt(join(directory, 'index.html'))
  const newestSource = Math.max(...(await Promise.all(sources.map(newestChange))))
  if (builtAt > newestSource) return directory

  say('Building the console…')
  // Built aside and then put in place, so that an interrupted build leaves nothing that looks finished.
  const draft = join(consolePackage, '.millrace', `build-${process.pid}`)
  const vite = join(
    dirname(createRequire(join(consolePackage, 'package.json')).resolve('vite/package.json')),
    'bin/vite.js',
  )
  const { code, output } = await run(process.execPath, [vite, 'build', '--outDir', draft, '--emptyOutDir'])
  if (code !== 0) throw new StartError(`The console could not be built.\n${output}`)
  await rm(directory, { recursive: true, force: true })
  await rename(draft, directory)
  return directory
}

/** @returns when a file was last changed, in ms since 1970; never (0) when there is none */
async function changedAt(path: string): Promise<number> {
  try {
    return (await stat(path)).mtimeMs
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return 0
    throw error
  }
}

/** The last change of a file or of anything in a folder; a folder itself changes when a file in it goes. */
async function newestChange(path: string): Promise<number> {
  const own = await changedAt(path)
  if (own === 0 || !(await stat(path)).isDirectory()) return own
  const inside = await readdir(path)
  return Math.max(own, ...(await Promise.all(inside.map((name) => newestChange(join(path, name))))))
}

async function run(command: string, parameters: string[]) {
  const child = spawn(command, parameters, { cwd: consolePackage, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  return { code, output: output.trim() }
}
