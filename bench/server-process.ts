import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

export type ServerProcess = Awaited<ReturnType<typeof startServerProcess>>

/** How many of the kernel's ticks make a second: `getconf CLK_TCK`, 100 on every Linux that Node runs on. */
const ticksPerSecond = 100

/**
 * Starts a server as a process of its own, on a free port, and waits until it answers.
 *
 * @param file what Node runs
 * @param environment all that it gets, besides PATH and PORT
 */
export async function startServerProcess(file: string, environment: Record<string, string>) {
  const port = await findFreePort()
  const child = spawn(process.execPath, [file], {
    env: { PATH: process.env['PATH'], NODE_ENV: 'production', PORT: String(port), ...environment },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  process.once('exit', () => child.kill())
  const ended = new AbortController()
  child.once('exit', (code) => ended.abort(new Error(`${file} ended with ${code}.`)))
  while (!(await answers(port))) {
    ended.signal.throwIfAborted()
    await delay(50)
  }
  return {
    port,
    /** Processor time that it has used so far, user and system, all threads, in seconds. */
    cpuSeconds(): number {
      // proc(5): utime and stime are fields 14 and 15; the name before them is in parentheses.
      const fields = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
      return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
    },
    async close() {
      child.kill('SIGTERM')
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    },
  }
}

async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (!address || typeof address === 'string') throw new Error('There is no free port.')
  return address.port
}

async function answers(port: number): Promise<boolean> {
  try {
    await (await fetch(`http://127.0.0.1:${port}/health`)).text()
    return true
  } catch {
    // Not listening yet.
    return false
  }
}
