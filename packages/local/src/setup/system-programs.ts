import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { runCommand } from './run-command.ts'
import { StartError } from './start-error.ts'

type Program = {
  /** Its name in messages. */
  title: string
  /** Names on PATH, in order of preference. */
  names: string[]
  /** What the user can do instead of installing it, as part of a sentence. */
  alternative: string
  /** The package that contains it, by package manager. */
  packages: Record<keyof typeof packageManagers, string>
}

/** Commands that install packages without prompts, recommended extras or progress output. */
const packageManagers = {
  'apt-get': [
    ['update', '-qq'],
    ['install', '-y', '-qq', '--no-install-recommends'],
  ],
  dnf: [['install', '-y', '-q']],
  apk: [['add', '-q']],
  brew: [['install', '-q']],
}

/**
 * Debian's `redis-tools` also contains the server: `redis-check-rdb` is the same binary, which chooses its
 * function by the name it is called with. Unlike the package `redis-server`, it starts no service and adds no user.
 */
export const redisProgram: Program = {
  title: 'A Redis server',
  names: ['redis-server', 'valkey-server', 'redis-check-rdb'],
  alternative: 'set REDIS_URL to a running Redis',
  packages: { 'apt-get': 'redis-tools', dnf: 'redis', apk: 'redis', brew: 'redis' },
}

/** Debian's shell without windows and their graphics: the same engine for a third less CPU time in the tests. */
export const chromiumProgram: Program = {
  title: 'Chromium, which the browser tests use,',
  names: ['chromium-headless-shell', 'chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'],
  alternative: 'set CHROMIUM to its path',
  packages: {
    'apt-get': 'chromium-headless-shell',
    dnf: 'chromium',
    apk: 'chromium',
    brew: 'chromium',
  },
}

export const shellcheckProgram: Program = {
  title: 'ShellCheck, which the tests of shell scripts use,',
  names: ['shellcheck'],
  alternative: 'put it on PATH',
  packages: { 'apt-get': 'shellcheck', dnf: 'ShellCheck', apk: 'shellcheck', brew: 'shellcheck' },
}

/** Without freshclam, which is only recommended by the package: the tests have a database of their own. */
export const clamdProgram: Program = {
  title: 'clamd, which a test of virus scans uses,',
  names: ['clamd'],
  alternative: 'put it on PATH',
  packages: { 'apt-get': 'clamav-daemon', dnf: 'clamd', apk: 'clamav-daemon', brew: 'clamav' },
}

export type Machine = { path: string; isRoot: boolean }

function thisMachine(): Machine {
  return { path: process.env['PATH'] ?? '', isRoot: process.getuid?.() === 0 }
}

/** Returns the path of the first of these names that is on the search path. */
export function findOnPath(names: string[], path = thisMachine().path): string | undefined {
  for (const name of names) {
    for (const directory of path.split(delimiter)) {
      if (!directory) continue
      const file = join(directory, name)
      try {
        accessSync(file, constants.X_OK)
        return file
      } catch {
        // Not in this directory: try the next one.
      }
    }
  }
  return undefined
}

const runUnattended = (command: string, parameters: string[]) =>
  runCommand(command, parameters, {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', HOMEBREW_NO_AUTO_UPDATE: '1' },
  })

/** Package managers print their conclusion last. */
function lastLine(output: string): string {
  return output.split('\n').at(-1)?.trim().replace(/\.$/, '') || 'without output'
}

/** Returns the prefix that runs a command as root; undefined if that requires a password. */
async function rootPrefix(manager: string, { path, isRoot }: Machine): Promise<string[] | undefined> {
  // Homebrew refuses to run as root.
  if (manager === 'brew' || isRoot) return []
  const sudo = findOnPath(['sudo'], path)
  if (!sudo) return undefined
  const { code } = await runUnattended(sudo, ['-n', 'true'])
  return code === 0 ? [sudo, '-n'] : undefined
}

/**
 * Finds a program on PATH, or installs it with the system's package manager.
 * @param print receives one line before an installation
 * @returns its path
 * @throws StartError that contains the exact command to run, if this user cannot install packages
 */
export async function provideProgram(
  program: Program,
  print: (line: string) => void,
  machine = thisMachine(),
): Promise<string> {
  const existing = findOnPath(program.names, machine.path)
  if (existing) return existing

  const managers = Object.keys(packageManagers) as (keyof typeof packageManagers)[]
  const manager = managers.find((name) => findOnPath([name], machine.path))
  if (!manager) {
    throw new StartError(
      `${program.title} is required but not on PATH: install ${program.names[0]}, or ${program.alternative}.`,
    )
  }
  const steps = packageManagers[manager].map((step) => [manager, ...step])
  const installation = steps.at(-1)
  installation?.push(program.packages[manager])
  const prefix = await rootPrefix(manager, machine)
  const manualCommand = steps
    .map((step) => `${manager === 'brew' ? '' : 'sudo '}${step.join(' ')}`)
    .join(' && ')
  if (!prefix) {
    throw new StartError(
      `${program.title} is required but this user cannot install it: run \`${manualCommand}\`, or ${program.alternative}.`,
    )
  }
  print(`Installing ${program.packages[manager]} with ${manager}…`)
  for (const step of steps) {
    const [command = manager, ...parameters] = [...prefix, ...step]
    const { code, output } = await runUnattended(findOnPath([command], machine.path) ?? command, parameters)
    // Outdated package lists are often sufficient, so only the installation itself must succeed.
    if (code !== 0 && step === installation) {
      throw new StartError(
        `${program.title} could not be installed: \`${manualCommand}\` exited with code ${code} (${lastLine(output)}); run it yourself, or ${program.alternative}.`,
      )
    }
  }
  const installed = findOnPath(program.names, machine.path)
  if (!installed) throw new StartError(`${program.title} is still not on PATH after \`${manualCommand}\`.`)
  return installed
}
