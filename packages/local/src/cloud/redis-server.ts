import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, readlink, realpath, rm, symlink } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { StartError } from '../setup/start-error.ts'
import { findOnPath, redisProgram } from '../setup/system-programs.ts'

const startLimitMs = 15_000
const stopLimitMs = 10_000
const checkLimitMs = 3_000
const portAttempts = 5

/**
 * Runs a program for as long as standard input stays open, so that it ends with the process that started it
 * even when that one is killed. The program cannot watch this itself; a shell can.
 */
const tetheredShell = `
exec 3<&0
trap : TERM
"$@" 3<&- &
program=$!
{ cat <&3 >/dev/null; kill "$program"; } 2>/dev/null &
while kill -0 "$program"; do wait "$program"; done 2>/dev/null
`

export type RedisServer = Awaited<ReturnType<typeof startRedisServer>>

/**
 * Starts a Redis server on loopback that keeps its data in a directory (append-only file, flushed every
 * second) and never evicts, as BullMQ demands. A server that a killed run left in that directory is
 * stopped first.
 * @param options.port 0 or none for a free one
 * @param options.program path of the server; found on PATH when absent
 * @returns its URL; `ended`, which resolves when the server is gone; and `close()`
 * @throws StartError with Redis' own words when it does not start
 */
export async function startRedisServer(options: { directory: string; port?: number; program?: string }) {
  const program = options.program ?? findOnPath(redisProgram.names)
  if (!program) throw new StartError('No Redis server is on PATH: install one, or set REDIS_URL.')
  await mkdir(options.directory, { recursive: true })
  const directory = await realpath(options.directory)
  await stopLeftover(directory)
  const server = await calledAsServer(program, directory)

  for (let attempt = 1; ; attempt += 1) {
    const port = options.port || (await findFreePort())
    const { child, ready, ended } = launch(server, directory, port)
    const outcome = await Promise.race([ready, ended, delay(startLimitMs, 'late', { ref: false })])
    if (outcome === 'ready') {
      return {
        url: `redis://127.0.0.1:${port}`,
        port,
        ended: ended.then(() => {}),
        async close() {
          signalGroup(child, 'SIGTERM')
          const killer = setTimeout(() => signalGroup(child, 'SIGKILL'), stopLimitMs)
          await ended
          clearTimeout(killer)
        },
      }
    }
    signalGroup(child, 'SIGKILL')
    const output = await ended
    // Someone else may have taken the free port between finding and using it.
    const portTaken = output.includes('Address already in use')
    if (portTaken && !options.port && attempt < portAttempts) continue
    const reason = outcome === 'late' ? `it was not ready within ${startLimitMs / 1000} s` : 'it ended'
    throw new StartError(`Redis did not start on port ${port}: ${reason}.\n${output.trim()}`)
  }
}

/** A Redis binary is what it is called as, so one that goes by another name gets a link named `redis-server`. */
async function calledAsServer(program: string, directory: string) {
  if (!program.endsWith('redis-check-rdb')) return program
  const link = join(directory, 'redis-server')
  await rm(link, { force: true })
  await symlink(program, link)
  return link
}

function launch(program: string, directory: string, port: number) {
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
  }
  const parameters = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])
  const child = spawn('/bin/sh', ['-c', tetheredShell, 'redis', program, ...parameters], {
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
  // Closed streams mean that the server and its watcher are gone, not only the shell above them.
  const ended = new Promise<string>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', () => resolve(output))
  })
  child.once('exit', () => signalGroup(child, 'SIGKILL'))
  return { child, ready, ended }
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals) {
  if (child.pid !== undefined) signalProcess(-child.pid, signal)
}

/** @returns whether there was a process to signal */
function signalProcess(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false
    throw error
  }
}

/** Ends the server that a killed run has left in this directory: two on one append-only file would ruin it. */
async function stopLeftover(directory: string) {
  const text = await readFile(join(directory, 'redis.pid'), 'utf8').catch(() => '')
  const pid = Number.parseInt(text, 10)
  if (!(pid > 0) || !(await worksIn(pid, directory))) return
  signalProcess(pid, 'SIGTERM')
  const deadline = performance.now() + stopLimitMs
  // Not our child, so the system announces its end to us in no other way.
  while (await worksIn(pid, directory)) {
    if (performance.now() > deadline) signalProcess(pid, 'SIGKILL')
    await delay(20)
  }
}

/** Whether a process lives and has this working directory, as a Redis that keeps its data there does. */
async function worksIn(pid: number, directory: string) {
  if (!signalProcess(pid, 0)) return false
  try {
    return (await readlink(`/proc/${pid}/cwd`)) === directory
  } catch (error) {
    // Just ended, or a system without /proc, where the process id has to be trusted.
    return process.platform !== 'linux' && error instanceof Error
  }
}

async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('A TCP server has no port.')
  return address.port
}

/**
 * Makes sure that the Redis of a given URL answers, within a few seconds.
 * @throws StartError with a sentence that names the server but never its password
 */
export async function checkRedis(url: string): Promise<void> {
  const place = URL.parse(url)
  if (!place || !/^rediss?:$/.test(place.protocol)) {
    throw new StartError('REDIS_URL is not a Redis URL; it should look like redis://127.0.0.1:6379.')
  }
  const client = new Redis(url, {
    lazyConnect: true,
    connectTimeout: checkLimitMs,
    commandTimeout: checkLimitMs,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
  })
  let reason = 'no answer'
  client.on('error', (error) => {
    reason = error.message
  })
  try {
    await client.connect()
    await client.ping()
  } catch (error) {
    if (reason === 'no answer' && error instanceof Error) reason = error.message
    throw new StartError(`The Redis of REDIS_URL (${place.host}) does not answer: ${reason}.`)
  } finally {
    client.disconnect()
  }
}
