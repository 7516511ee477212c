import { spawn } from 'node:child_process'
import { mkdir, readFile, readlink, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { signalGroup, signalProcess, terminateProcess } from '../setup/process-signals.ts'
import { StartError } from '../setup/start-error.ts'
import { findOnPath, redisProgram } from '../setup/system-programs.ts'
import { findFreePort } from '../setup/tcp-port.ts'

const startTimeoutMs = 15_000
const stopTimeoutMs = 10_000
const maxPortAttempts = 5

/**
 * Shell script that runs a program until standard input closes. So the program exits with its parent process,
 * even if the parent is killed. Redis cannot watch standard input itself; a shell can.
 */
const exitWithParentScript = `
exec 3<&0
trap : TERM
"$@" 3<&- &
program=$!
{ cat <&3 >/dev/null; kill "$program"; } 2>/dev/null &
while kill -0 "$program"; do wait "$program"; done 2>/dev/null
`

export type RedisServer = Awaited<ReturnType<typeof startRedisServer>>

/**
 * Starts a Redis server on loopback. It stores its data in a directory (append-only file, flushed every
 * second) and never evicts keys, which BullMQ requires. If an earlier run was killed and its server still uses
 * the directory, that server is stopped first.
 * @param options.port 0 or absent for any free port
 * @param options.program path of the server; by default searched on PATH
 * @param options.password which clients need; without it, every user of this machine can connect
 * @returns its URL, with the password, and port; `ended`, which resolves when the server has exited; and `close()`
 * @throws StartError with the conclusion of Redis' output if it does not start
 */
export async function startRedisServer(options: {
  directory: string
  port?: number
  program?: string
  password?: string
}) {
  const program = options.program ?? findOnPath(redisProgram.names)
  if (!program) throw new StartError('No Redis server is on PATH: install one, or set REDIS_URL.')
  await mkdir(options.directory, { recursive: true })
  const directory = await realpath(options.directory)
  await stopPreviousServer(directory)
  const server = await serverPath(program, directory)

  for (let attempt = 1; ; attempt += 1) {
    const port = options.port || (await findFreePort())
    const { password } = options
    const { child, ready, ended } = launch(server, await writeSettings({ directory, port, password }))
    const outcome = await Promise.race([ready, ended, delay(startTimeoutMs, 'timeout', { ref: false })])
    if (outcome === 'ready') {
      return {
        url: `redis://${password === undefined ? '' : `:${encodeURIComponent(password)}@`}127.0.0.1:${port}`,
        port,
        ended: ended.then(() => {}),
        async close() {
          if (child.pid !== undefined) terminateProcess(-child.pid)
          const killTimer = setTimeout(() => signalGroup(child, 'SIGKILL'), stopTimeoutMs)
          await ended
          clearTimeout(killTimer)
        },
      }
    }
    signalGroup(child, 'SIGKILL')
    const output = await ended
    // Another process may have taken the free port in the meantime.
    const portTaken = output.includes('Address already in use')
    if (portTaken && !options.port && attempt < maxPortAttempts) continue
    const reason = outcome === 'timeout' ? `it was not ready within ${startTimeoutMs / 1000} s` : 'it exited'
    throw new StartError(`Redis did not start on port ${port}: ${reason} (${conclusionOf(output)}).`)
  }
}

/** Returns the last warning of Redis' output, without process id and time, or else its last line. */
function conclusionOf(output: string): string {
  const lines = output.trim().split('\n')
  const warning = lines.findLast((line) => / # /.test(line))?.replace(/^.*? # /, '')
  return (warning ?? lines.at(-1) ?? '').trim().replace(/\.$/, '') || 'without output'
}

/**
 * Returns a path under which the binary runs as a server. A Redis binary chooses its function by the name it is
 * called with, so `redis-check-rdb` gets a symbolic link named `redis-server`.
 */
async function serverPath(program: string, directory: string) {
  if (!program.endsWith('redis-check-rdb')) return program
  const link = join(directory, 'redis-server')
  await rm(link, { force: true })
  await symlink(program, link)
  return link
}

/**
 * Writes the server's settings to a file that only this user can read: other users see command lines.
 * @returns its path
 */
async function writeSettings(options: { directory: string; port: number; password: string | undefined }) {
  const { directory, port, password } = options
  const settings = {
    port: String(port),
    bind: '127.0.0.1',
    'protected-mode': 'yes',
    dir: directory,
    pidfile: join(directory, 'redis.pid'),
    save: '',
    appendonly: 'yes',
    appendfsync: 'everysec',
    'maxmemory-policy': 'noeviction',
    daemonize: 'no',
    ...(password !== undefined && { requirepass: password }),
  }
  const file = join(directory, 'redis.conf')
  // Of an existing file, the mode would not change.
  await rm(file, { force: true })
  // Redis reads values in quotes with the same escapes as JSON.
  const lines = Object.entries(settings).map(([name, value]) => `${name} ${JSON.stringify(value)}\n`)
  await writeFile(file, lines.join(''), { mode: 0o600 })
  return file
}

function launch(program: string, settingsFile: string) {
  const child = spawn('/bin/sh', ['-c', exitWithParentScript, 'redis', program, settingsFile], {
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let output = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  const ready = new Promise<'ready'>((resolve) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      output = `${output}${line}\n`.slice(-4_000)
      if (/Ready to accept connections/.test(line)) resolve('ready')
    })
  })
  // `close` follows when the output streams are closed: the server has exited, not only the shell above it.
  const ended = new Promise<string>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', () => resolve(output))
  })
  child.once('exit', () => signalGroup(child, 'SIGKILL'))
  return { child, ready, ended }
}

/**
 * Stops the server of an earlier run that was killed, if it still uses this directory. Two servers would corrupt
 * the append-only file.
 */
async function stopPreviousServer(directory: string) {
  const text = await readFile(join(directory, 'redis.pid'), 'utf8').catch(() => '')
  const pid = Number.parseInt(text, 10)
  if (!(pid > 0) || !(await usesDirectory(pid, directory))) return
  terminateProcess(pid)
  const deadline = performance.now() + stopTimeoutMs
  // It is not a child of this process, so there is no exit event.
  while (await usesDirectory(pid, directory)) {
    if (performance.now() > deadline) signalProcess(pid, 'SIGKILL')
    await delay(20)
  }
}

/** Returns whether a process exists and has this working directory. Redis runs in its data directory. */
async function usesDirectory(pid: number, directory: string) {
  if (!signalProcess(pid, 0)) return false
  try {
    return (await readlink(`/proc/${pid}/cwd`)) === directory
  } catch (error) {
    // The process has just exited. Or the system has no /proc: then the process id is the only evidence.
    return process.platform !== 'linux' && error instanceof Error
  }
}
