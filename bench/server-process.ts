import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

export type ServerProcess = Awaited<ReturnType<typeof startServerProcess>>

/**
 * Starts a server as a process of its own, on a free port, and waits until it answers.
 *
 * @param file what Node runs
 * @param environment all that it gets, besides PATH and PORT
 * @param options.onOneCore keeps all its threads on the machine's first core, as a container of one core would
 */
export async function startServerProcess(
  file: string,
  environment: Record<string, string>,
  { onOneCore = false } = {},
) {
  const port = await findFreePort()
  const [program = '', ...parameters] = [...(onOneCore ? ['taskset', '-c', '0'] : []), process.execPath, file]
  const child = spawn(program, parameters, {
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
    /** Processor time that its threads have used so far, in the kernel as well, in seconds. */
    cpuSeconds(): number {
      // Documentation/scheduler/sched-stats.rst: the first field is the time on the processor in ns. Finer than
      // the ticks of proc(5)'s stat; Node's threads live as long as the process.
      const threads = readdirSync(`/proc/${child.pid}/task`)
      const times = threads.map((thread) =>
        Number(readFileSync(`/proc/${child.pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]),
      )
      return times.reduce((sum, time) => sum + time, 0) / 1e9
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
