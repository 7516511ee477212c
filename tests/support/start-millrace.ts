import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { allGone, listProcesses } from './process-list.ts'

const root = join(import.meta.dirname, '../..')

/** Where one system keeps its data, and the variable that marks all of its processes. */
export async function createPlace() {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-start-'))
  const mark = `MILLRACE_TEST_PLACE=${randomUUID()}`
  /** The processes that were started here and still run. */
  const processes = () => listProcesses().filter(({ environment }) => environment.includes(mark))
  return {
    directory,
    mark,
    processes,
    /** Also ends what a failed test has left. */
    async remove() {
      for (const { pid } of processes()) process.kill(pid, 'SIGKILL')
      await allGone(mark)
      await rm(directory, { recursive: true })
    },
  }
}

export type Place = Awaited<ReturnType<typeof createPlace>>

/** The command with which a user starts Millrace. */
export function npmStart(place: Place, parameters: string[] = [], environment: NodeJS.ProcessEnv = {}) {
  const npm = process.env['npm_execpath']
  const command = npm ? [process.execPath, npm] : ['npm']
  return startMillrace(place, [...command, 'start', '--'], parameters, environment)
}

/** The same without npm around it, on the Node that runs the tests. */
export function mainStart(place: Place, parameters: string[] = [], environment: NodeJS.ProcessEnv = {}) {
  return startMillrace(place, [process.execPath, 'packages/local/src/main.ts'], parameters, environment)
}

/**
 * Starts the whole system on a free port, with a Redis and data of its own.
 * @returns the console's address, and `close()`, which leaves nothing of it
 */
export async function startSystem(parameters: string[] = []) {
  const place = await createPlace()
  const millrace = mainStart(place, ['--port', '0', ...parameters])
  return {
    url: await millrace.ready,
    async close() {
      millrace.signal('SIGTERM')
      await millrace.ended
      await place.remove()
    },
  }
}

function startMillrace(
  place: Place,
  command: string[],
  parameters: string[],
  environment: NodeJS.ProcessEnv,
) {
  const [program = '', ...before] = command
  const [name = '', value] = place.mark.split('=')
  const { REDIS_URL: _redisOfTheTests, ...inherited } = process.env
  const child = spawn(program, [...before, '--data', place.directory, ...parameters], {
    cwd: root,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...inherited, [name]: value, ...environment },
  })
  const ready = Promise.withResolvers<string>()
  let output = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
    const [, url] = /Millrace is ready: (\S+)\n/.exec(output) ?? []
    if (url !== undefined) ready.resolve(url)
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }))
  })
  ended.then(({ code, signal }) => {
    ready.reject(new Error(`Millrace ended before it was ready (${signal ?? code}).\n${output}${errors}`))
  })
  ready.promise.catch(() => {})
  return {
    /** The console's address, once it is printed. */
    ready: ready.promise,
    ended,
    output: () => output,
    errors: () => errors,
    /** Waits for more of them. */
    moreErrors: () => once(child.stderr, 'data'),
    /** To the first process only. */
    signal: (signal: NodeJS.Signals) => child.kill(signal),
    /** To all processes in the foreground, as a terminal does on Ctrl-C. */
    signalGroup: (signal: NodeJS.Signals) => signalGroupOf(child, signal),
  }
}

function signalGroupOf(child: ChildProcess, signal: NodeJS.Signals) {
  if (child.pid === undefined) throw new Error('The process did not start.')
  process.kill(-child.pid, signal)
}
