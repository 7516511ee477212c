// Makes a fresh checkout ready and then runs a TypeScript file on the project's own Node 24:
//
//   node packages/local/run.mjs [file.ts [arguments…]]
//
// Plain JavaScript without packages, because it is the only thing that runs before any is installed,
// on whatever Node (20 or later) the machine has.
import { spawn } from 'node:child_process'
import { accessSync, constants, readFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../..')
const node = join(root, 'node_modules/.bin/node')
const tether = join(import.meta.dirname, 'src/fleet/exit-with-parent.ts')
const neededNode = readFileSync(join(root, '.node-version'), 'utf8').trim()

/** @returns {Record<string, any>} the packages of a lock file by their folder */
function lockedPackages(file) {
  try {
    return JSON.parse(readFileSync(join(root, file), 'utf8')).packages
  } catch {
    // Not there yet, or cut short by an interrupted installation.
    return {}
  }
}

/**
 * Whether node_modules holds what package-lock.json asks for: npm notes what it has installed in a lock file
 * of its own. What is optional depends on the machine and does not count.
 */
function packagesAreCurrent() {
  const installed = lockedPackages('node_modules/.package-lock.json')
  return Object.entries(lockedPackages('package-lock.json')).every(([folder, wanted]) => {
    if (!folder.includes('node_modules/') || wanted.link || wanted.optional || wanted.devOptional) return true
    return installed[folder]?.version === wanted.version
  })
}

/** Runs a command to its end. @returns {Promise<{ code: number | null, output: string }>} */
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

function giveUp(sentence) {
  process.stderr.write(`${sentence}\n`)
  process.exit(1)
}

async function installPackages() {
  process.stderr.write('Installing Node packages, which takes about a minute the first time…\n')
  // The npm that runs this script, where one does: it need not be the one on PATH.
  const npm = process.env['npm_execpath'] ? [process.execPath, process.env['npm_execpath']] : ['npm']
  const flags = ['--include=dev', '--no-audit', '--no-fund', '--loglevel=error', '--progress=false']
  const [command, ...parameters] = [...npm, 'ci', ...flags]
  const { code, output } = await run(command, parameters)
  if (code !== 0) giveUp(`${output}\nThe Node packages could not be installed: \`npm ci\` failed, see above.`)
  const { output: version } = await run(node, ['--version'])
  if (!version.startsWith(`v${neededNode}.`)) giveUp(noNode)
}

const noNode = `Node ${neededNode} is missing from node_modules, because the install script of the package "node" did not run: \
run \`npm ci --ignore-scripts=false\` and then this command again.`

function nodeIsInstalled() {
  try {
    accessSync(node, constants.X_OK)
    return true
  } catch {
    return false
  }
}

if (!packagesAreCurrent()) await installPackages()
if (!nodeIsInstalled()) giveUp(noNode)

const [file, ...parameters] = process.argv.slice(2)
if (file !== undefined) {
  // Compiled modules are kept, here and in all processes below, since starting is mostly compiling.
  const child = spawn(node, ['--import', tether, file, ...parameters], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { NODE_COMPILE_CACHE: join(root, 'node_modules/.cache/compiled'), ...process.env },
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.once('error', (error) => giveUp(`Node ${neededNode} does not start: ${error.message}.`))
  child.once('exit', (code, signal) => {
    if (signal === null) process.exit(code)
    // Ends the way that the child ended, so that a shell sees the same.
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
}
