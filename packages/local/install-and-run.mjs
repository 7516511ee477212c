// The second half of run.mjs. Plain JavaScript without packages: it runs before packages are installed, with the machine's
// own Node (20 or later; `import.meta.dirname` came with 20.11).
import { spawn } from 'node:child_process'
import { accessSync, constants, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { installProblem } from './install-problem.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, '../..')
const node = join(root, 'node_modules/.bin/node')
const exitWithParent = join(here, 'src/fleet/exit-with-parent.ts')
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']
const requiredNode = readFileSync(join(root, '.node-version'), 'utf8').trim()

/** @returns {Record<string, any>} the packages of a lock file, by folder */
function lockedPackages(file) {
  try {
    return JSON.parse(readFileSync(join(root, file), 'utf8')).packages
  } catch {
    // The file does not exist yet, or an interrupted installation has truncated it.
    return {}
  }
}

/**
 * Returns whether node_modules contains the versions of package-lock.json. npm lists the installed packages in
 * a lock file of its own. Optional packages depend on the machine and are ignored.
 */
function packagesAreCurrent() {
  const installed = lockedPackages('node_modules/.package-lock.json')
  return Object.entries(lockedPackages('package-lock.json')).every(([folder, required]) => {
    if (!folder.includes('node_modules/') || required.link || required.optional || required.devOptional)
      return true
    return installed[folder]?.version === required.version
  })
}

/**
 * Runs a command until it exits. A signal to this process ends the command as well, and then this process.
 * @returns {Promise<{ code: number | null, output: string }>}
 */
function run(command, parameters) {
  return new Promise((resolve) => {
    const child = spawn(command, parameters, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    // npm ignores SIGTERM while it waits for a registry. What it leaves is installed again by the next run.
    const stop = () => {
      child.kill('SIGKILL')
      child.once('close', () => exitWithError('Stopped before the Node packages were installed.'))
    }
    for (const signal of signals) process.once(signal, stop)
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        output += text
      })
    }
    const end = (result) => {
      for (const signal of signals) process.off(signal, stop)
      resolve(result)
    }
    child.once('error', (error) => end({ code: null, output: error.message }))
    child.once('close', (code, signal) => {
      if (!child.killed) end({ code: signal === null ? code : null, output: output.trim() })
    })
  })
}

/** Prints an error and exits with code 1. */
function exitWithError(message) {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}

/**
 * npm's defaults wait for more than a minute before they give up a registry without a network. These take some 2 s for a
 * refused connection or a name that is not found, and 45 s for a silent server. `fetch-timeout` is the time without bytes.
 */
const retries = [
  '--fetch-retries=2',
  '--fetch-retry-factor=2',
  '--fetch-retry-mintimeout=500',
  '--fetch-retry-maxtimeout=4000',
  '--fetch-timeout=15000',
]

async function installPackages() {
  process.stderr.write('Installing Node packages, which takes about a minute the first time…\n')
  // If npm runs this script, use the same npm. It may not be the one on PATH.
  const npm = process.env['npm_execpath'] ? [process.execPath, process.env['npm_execpath']] : ['npm']
  const flags = [
    '--include=dev',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    '--progress=false',
    ...retries,
  ]
  const [command, ...parameters] = npm
  const { code, output } = await run(command, [...parameters, 'ci', ...flags])
  if (code === null && /ENOENT/.test(output)) {
    exitWithError('npm is not on PATH: install it together with Node from https://nodejs.org.')
  }
  if (code !== 0) {
    const { output: registry } = await run(command, [...parameters, 'config', 'get', 'registry'])
    exitWithError(installProblem(output, registry))
  }
  const { output: version } = await run(node, ['--version'])
  if (!version.startsWith(`v${requiredNode}.`)) exitWithError(nodeIsMissing)
}

const nodeIsMissing = `Node ${requiredNode} is missing from node_modules because the install script of the package "node" did not run. \
Run \`npm ci --ignore-scripts=false\` and then this command again.`

function nodeIsInstalled() {
  try {
    accessSync(node, constants.X_OK)
    return true
  } catch {
    return false
  }
}

if (!packagesAreCurrent()) await installPackages()
if (!nodeIsInstalled()) exitWithError(nodeIsMissing)

const [file, ...parameters] = process.argv.slice(2)
if (file !== undefined) {
  // In this repository, `@millrace/client` is its TypeScript source. What is published is compiled.
  const source = '--conditions=@millrace/source'
  // Compiled modules are cached, here and in all child processes: most of the start-up time is compilation.
  const child = spawn(node, [source, '--import', exitWithParent, file, ...parameters], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { NODE_COMPILE_CACHE: join(root, 'node_modules/.cache/compiled'), ...process.env },
  })
  for (const signal of signals) process.on(signal, () => child.kill(signal))
  child.once('error', (error) => exitWithError(`Node ${requiredNode} does not start: ${error.message}.`))
  child.once('exit', (code, signal) => {
    if (signal === null) process.exit(code)
    // Exits with the same signal as the child, so that a shell sees the same result.
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
}
