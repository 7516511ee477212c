import { spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { StartError } from './start-error.ts'

type Program = {
  /** What the sentences call it. */
  title: string
  /** Names on PATH, the best first. */
  names: string[]
  /** The variable with which a user points at another one, and what it holds. */
  instead: string
  /** The package that holds it, by package manager. */
  packages: Record<keyof typeof packageManagers, string>
}

/** Commands that install packages without a question, without recommended extras and without a list of changes. */
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
 * Debian's `redis-tools` holds the server as well: `redis-check-rdb` is the same binary, which goes by the
 * name that it is called. Unlike `redis-server`, that package starts no service and adds no user.
 */
export const redisProgram: Program = {
  title: 'A Redis server',
  names: ['redis-server', 'valkey-server', 'redis-check-rdb'],
  instead: 'set REDIS_URL to a Redis that runs already',
  packages: { 'apt-get': 'redis-tools', dnf: 'redis', apk: 'redis', brew: 'redis' },
}

export const chromiumProgram: Program = {
  title: 'Chromium, which the browser tests drive,',
  names: ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'],
  instead: 'set CHROMIUM to the path of one',
  packages: { 'apt-get': 'chromium', dnf: 'chromium', apk: 'chromium', brew: 'chromium' },
}

export const shellcheckProgram: Program = {
  title: 'ShellCheck, which the tests of shell scripts use,',
  names: ['shellcheck'],
  instead: 'put one on PATH',
  packages: { 'apt-get': 'shellcheck', dnf: 'ShellCheck', apk: 'shellcheck', brew: 'shellcheck' },
}

export type Machine = { path: string; isRoot: boolean }

function thisMachine(): Machine {
  return { path: process.env['PATH'] ?? '', isRoot: process.getuid?.() === 0 }
}

/** @returns the path of the first of these names that the search path holds */
export function findOnPath(names: string[], path = thisMachine().path): string | undefined {
  for (const name of names) {
    for (const directory of path.split(delimiter)) {
      if (!directory) continue
      const file = join(directory, name)
      try {
        accessSync(file, constants.X_OK)
        return file
      } catch {
        // Not in this directory: the next one may have it.
      }
    }
  }
  return undefined
}

/** Runs a command to its end. @returns its exit code and what it printed */
async function run(command: string, parameters: string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(command, parameters, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', HOMEBREW_NO_AUTO_UPDATE: '1' },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, output: output.trim() }))
  })
}

/** @returns what to put before a command to run it as root, or undefined where that needs a password */
async function asRoot(manager: string, { path, isRoot }: Machine): Promise<string[] | undefined> {
  // Homebrew refuses to run as root.
  if (manager === 'brew' || isRoot) return []
  const sudo = findOnPath(['sudo'], path)
  if (!sudo) return undefined
  const { code } = await run(sudo, ['-n', 'true'])
  return code === 0 ? [sudo, '-n'] : undefined
}

/**
 * Finds a program on PATH, or installs it with the system's package manager.
 * @param say is told, in one line, when something is installed
 * @returns its path
 * @throws StartError naming the exact command to run, where this user may not install packages
 */
export async function provideProgram(
  program: Program,
  say: (line: string) => void,
  machine = thisMachine(),
): Promise<string> {
  const found = findOnPath(program.names, machine.path)
  if (found) return found

  const managers = Object.keys(packageManagers) as (keyof typeof packageManagers)[]
  const manager = managers.find((name) => findOnPath([name], machine.path))
  if (!manager) {
    throw new StartError(
      `${program.title} is needed but none is on PATH: install ${program.names[0]}, or ${program.instead}.`,
    )
  }
  const steps = packageManagers[manager].map((step) => [manager, ...step])
  const installation = steps.at(-1)
  installation?.push(program.packages[manager])
  const prefix = await asRoot(manager, machine)
  const byHand = steps.map((step) => `${manager === 'brew' ? '' : 'sudo '}${step.join(' ')}`).join(' && ')
  if (!prefix) {
    throw new StartError(
      `${program.title} is needed and this user may not install it: run \`${byHand}\`, or ${program.instead}.`,
    )
  }
  say(`Installing ${program.packages[manager]} with ${manager}…`)
  for (const step of steps) {
    const [command = manager, ...parameters] = [...prefix, ...step]
    const { code, output } = await run(findOnPath([command], machine.path) ?? command, parameters)
    // Old package lists often suffice, so only the installation itself decides.
    if (code !== 0 && step === installation) {
      throw new StartError(
        `${program.title} could not be installed: \`${byHand}\` ended with code ${code}.\n${output}`,
      )
    }
  }
  const installed = findOnPath(program.names, machine.path)
  if (!installed) throw new StartError(`${program.title} is still not on PATH after \`${byHand}\`.`)
  return installed
}
