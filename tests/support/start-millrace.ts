import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { signalProcess } from '@millrace/local/setup/process-signals.ts'
import { holdLoop, letLoopEnd } from './event-loop-hold.ts'
import { allGone, listProcesses } from './process-list.ts'

const root = join(import.meta.dirname, '../..')
const exitWithParent = pathToFileURL(join(root, 'packages/local/src/fleet/exit-with-parent.ts')).href

/**
 * Creates a data directory for one system, and an environment variable that identifies all of its processes. If the process
 * of the tests exits before `remove()`, as after a hook that has timed out, both are removed then.
 */
export async function createSandbox() {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-start-'))
  const mark = `MILLRACE_TEST_SANDBOX=${randomUUID()}`
  /** Returns the processes of this sandbox that still run. */
  const processes = () => listProcesses().filter(({ environment }) => environment.includes(mark))
  const kill = () => {
    for (const { pid } of processes()) signalProcess(pid, 'SIGKILL')
  }
  const removeAtExit = () => {
    kill()
    rmSync(directory, { recursive: true, force: true })
  }
  process.on('exit', removeAtExit)
  return {
    directory,
    mark,
    processes,
    /** Kills the processes that a failed test has left, and deletes the directory. */
    async remove() {
      kill()
      await allGone(mark)
      await rm(directory, { recursive: true })
      process.off('exit', removeAtExit)
    },
  }
}

export type Sandbox = Awaited<ReturnType<typeof createSandbox>>

/** Starts Millrace with `npm start`, as a user does. */
export function startWithNpm(
  sandbox: Sandbox,
  parameters: string[] = [],
  environment: NodeJS.ProcessEnv = {},
) {
  const npm = process.env['npm_execpath']
  const command = npm ? [process.execPath, npm] : ['npm']
  return startMillrace(sandbox, [...command, 'start', '--'], parameters, { environment, cwd: root })
}

/**
 * Starts Millrace without npm, with the Node that runs the tests and, if there is one, the file `.env` of the sandbox. It also stops
 * if the process of the tests is killed.
 */
export function startWithNode(
  sandbox: Sandbox,
  parameters: string[] = [],
  environment: NodeJS.ProcessEnv = {},
) {
  const command = [process.execPath, '--import', exitWithParent, join(root, 'packages/local/src/main.ts')]
  return startMillrace(sandbox, command, parameters, { environment, cwd: sandbox.directory })
}

/**
 * Starts the whole system on a free port, with its own Redis and data directory.
 * @returns the console's URL, which is also the API's origin, its processes, and `close()`, which also deletes the data.
 *   `share()` lets the event loop end before `close()` is called, see `shareInProcess`
 */
export async function startSystem(parameters: string[] = [], environment: NodeJS.ProcessEnv = {}) {
  const sandbox = await createSandbox()
  const millrace = startWithNode(sandbox, ['--port', '0', ...parameters], environment)
  const close = async () => {
    millrace.hold()
    millrace.signal('SIGTERM')
    await millrace.ended
    await sandbox.remove()
  }
  try {
    const { origin } = new URL(await millrace.ready)
    return { url: origin, processes: sandbox.processes, share: millrace.share, close }
  } catch (error) {
    await close()
    throw error
  }
}

function startMillrace(
  sandbox: Sandbox,
  command: string[],
  parameters: string[],
  { environment, cwd }: { environment: NodeJS.ProcessEnv; cwd: string },
) {
  const [program = '', ...prefix] = command
  const [name = '', value] = sandbox.mark.split('=')
  const { REDIS_URL: _testRedisUrl, ...inherited } = process.env
  const child = spawn(program, [...prefix, '--data', sandbox.directory, ...parameters], {
    cwd,
    detached: true,
    // Over the channel `exit-with-parent.ts` notices the end of this process.
    stdio: ['ignore', 'pipe', 'pipe', ...(command.includes(exitWithParent) ? (['ipc'] as const) : [])],
    env: { ...inherited, [name]: value, ...environment },
  })
  child.channel?.unref()
  const { stdout, stderr } = child
  if (!stdout || !stderr) throw new Error('Millrace has no output.')
  const ready = Promise.withResolvers<string>()
  let output = ''
  let errors = ''
  stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
    const [, url] = /Millrace is ready: (\S+)\n/.exec(output) ?? []
    if (url !== undefined) ready.resolve(url)
  })
  stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }))
  })
  ended.then(({ code, signal }) => {
    ready.reject(new Error(`Millrace exited before it was ready (${signal ?? code}).\n${output}${errors}`))
  })
  ready.promise.catch(() => {})
  return {
    /** Resolves with the console's URL when it is printed. */
    ready: ready.promise,
    ended,
    output: () => output,
    errors: () => errors,
    /** Lets the event loop end while this runs, and no longer. */
    share: () => letLoopEnd(child),
    hold: () => holdLoop(child),
    /** Signals the first process only. */
    signal: (signal: NodeJS.Signals) => child.kill(signal),
    /** Signals the whole process group, as a terminal does on Ctrl-C. */
    signalGroup: (signal: NodeJS.Signals) => signalGroupOf(child, signal),
  }
}

function signalGroupOf(child: ChildProcess, signal: NodeJS.Signals) {
  if (child.pid === undefined) throw new Error('The process did not start.')
  process.kill(-child.pid, signal)
}
