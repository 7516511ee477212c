import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { StartError } from '@millrace/local/setup/start-error.ts'
import { withFileLock } from './file-lock.ts'

export const root = join(import.meta.dirname, '../..')
/** The directory of SST's components, their types and the providers' packages. */
export const platform = join(root, '.sst/platform')

/**
 * Installs SST's platform unless it is current, as `sst deploy` does first. Skips Pulumi, Bun and telemetry, which come
 * from servers that a test machine may not reach. Everything else comes from the npm registry. Of several processes, one
 * installs it and the others wait.
 *
 * @param print prints progress
 * @throws StartError with SST's own output
 */
export async function provideSstPlatform(print: (line: string) => void): Promise<void> {
  if (platformIsCurrent()) return
  await withFileLock(join(root, 'node_modules/.cache/sst-platform.lock'), async () => {
    if (!platformIsCurrent()) await installPlatform(print)
  })
}

async function installPlatform(print: (line: string) => void): Promise<void> {
  print("Installing SST's platform, which takes about a minute the first time…")
  const sst = join(root, 'node_modules/.bin/sst')
  try {
    await promisify(execFile)(sst, ['install'], {
      cwd: root,
      env: {
        ...process.env,
        // Any name works: no secret of a stage is read, and no provider is called.
        SST_STAGE: 'install',
        SST_SKIP_DEPENDENCY_CHECK: '1',
        SST_NO_BUN: '1',
        SST_PULUMI_PATH: '/bin/true',
        SST_TELEMETRY_DISABLED: '1',
        DO_NOT_TRACK: '1',
      },
    })
  } catch (error) {
    throw new StartError(`SST's platform could not be installed by \`sst install\`: ${describe(error)}`)
  }
  if (!platformIsCurrent()) throw new StartError("`sst install` succeeded, but SST's platform is missing.")
}

/** Checks that the platform belongs to the installed SST, and has exactly the providers of sst.config.ts. */
function platformIsCurrent(): boolean {
  const { version } = JSON.parse(readFileSync(join(root, 'node_modules/sst/package.json'), 'utf8'))
  const lock = join(root, '.sst/provider-lock.json')
  const versionFile = join(platform, 'version')
  if (!existsSync(versionFile) || readFileSync(versionFile, 'utf8').trim() !== version) return false
  if (!existsSync(lock) || !existsSync(join(platform, 'config.d.ts'))) return false
  const config = readFileSync(join(root, 'sst.config.ts'), 'utf8')
  const providers: { name: string; package: string; version: string }[] = JSON.parse(
    readFileSync(lock, 'utf8'),
  )
  // Lines of sst.config.ts such as `random: '4.16.6'`, which only providers have.
  const named = Array.from(
    config.matchAll(/^ *'?([\w-]+)'?: (?:\{ version: )?'\d+\.\d+\.\d+'/gm),
    ([, name]) => name,
  )
  if (named.some((name) => !providers.some((locked) => locked.name === name))) return false
  return providers.every(({ name, package: folder, version: locked }) => {
    const manifest = join(platform, 'node_modules', folder, 'package.json')
    // Matches a line of sst.config.ts such as `random: '4.16.6'` or `aws: { version: '7.20.0', …`.
    const line = new RegExp(`'?${name}'?: (?:\\{ version: )?'${locked.replaceAll('.', '\\.')}'`)
    return existsSync(manifest) && line.test(config)
  })
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
  return `${stdout}${stderr}`.trim() || error.message
}
