// Installs missing packages and then runs a TypeScript file with the project's own Node 24:
//
//   node packages/local/run.mjs [file.ts [arguments…]]
//
// This file is plain JavaScript without packages: it runs before packages are installed, with the machine's
// own Node (20 or later).
import { spawn } from 'node:child_process'
import { accessSync, constants, readFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../..')
const node = join(root, 'node_modules/.bin/node')
const exitWithParent = join(import.meta.dirname, 'src/fleet/exit-with-parent.ts')
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

/** Runs a command until it exits. @returns {Promise<{ code: number | null, output: string }>} */
function run(command, parameters) {
  return new Promise((resolve) => {
    const child = spawn(command, parameters, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        output += text
      })
    }
    child.once('error', (error) => resolve({ code: null, output: error.message }))
    child.once('close', (code) => resolve({ code, output: output.trim() }))
  })
}

/** Prints an error and exits with code 1. */
function exitWithError(message) {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}

async function installPackages() {
  process.stderr.write('Installing Node packages, which takes about a minute the first time…\n')
  // If npm runs this script, use the same npm. It may not be the one on PATH.
  const npm = process.env['npm_execpath'] ? [process.execPath, process.env['npm_execpath']] : ['npm']
  const flags = ['--include=dev', '--no-audit', '--no-fund', '--loglevel=error', '--progress=false']
  const [command, ...parameters] = [...npm, 'ci', ...flags]
  const { code, output } = await run(command, parameters)
  if (code !== 0)
    exitWithError(
      `${output}\nThe Node packages could not be installed: \`npm ci\` failed. Its output is above.`,
    )
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
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.once('error', (error) => exitWithError(`Node ${requiredNode} does not start: ${error.message}.`))
  child.once('exit', (code, signal) => {
    if (signal === null) process.exit(code)
    // Exits with the same signal as the child, so that a shell sees the same result.
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
}
