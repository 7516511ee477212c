import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { findFreePort } from '@millrace/local/setup/tcp-port.ts'

export type ServerProcess = Awaited<ReturnType<typeof startServerProcess>>

/**
 * Starts a server as a separate process on a free port, and waits until it responds.
 *
 * @param file the module to run
 * @param environment its environment, in addition to PATH and PORT
 * @param options.onOneCore runs all its threads on the machine's first core, like a container with one core
 * @param options.portVariable the variable that tells the server its port
 */
export async function startServerProcess(
  file: string,
  environment: Record<string, string>,
  { onOneCore = false, portVariable = 'PORT' } = {},
) {
  const port = await findFreePort()
  const [program = '', ...parameters] = [...(onOneCore ? ['taskset', '-c', '0'] : []), process.execPath, file]
  const child = spawn(program, parameters, {
    env: { PATH: process.env['PATH'], NODE_ENV: 'production', [portVariable]: String(port), ...environment },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const kill = () => child.kill()
  process.once('exit', kill)
  const ended = new AbortController()
  child.once('exit', (code) => ended.abort(new Error(`${file} exited with code ${code}.`)))
  while (!(await responds(port))) {
    ended.signal.throwIfAborted()
    await delay(50)
  }
  const { pid } = child
  if (pid === undefined) throw new Error(`${file} has no process id.`)
  return {
    port,
    pid,
    /** Returns the CPU time of all its threads since the start, user and kernel, in seconds. */
    cpuSeconds(): number {
      // Documentation/scheduler/sched-stats.rst: the first field is the CPU time in ns. It is more precise than the
      // ticks in proc(5)'s stat. Node's threads exist as long as the process.
      const threads = readdirSync(`/proc/${child.pid}/task`)
      const times = threads.map((thread) =>
        Number(readFileSync(`/proc/${child.pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]),
      )
      return times.reduce((sum, time) => sum + time, 0) / 1e9
    },
    /** Returns the memory of the process, in bytes: now, and the most since its start (proc(5), VmRSS and VmHWM). */
    memory(): { bytes: number; peakBytes: number } {
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
      const kibibytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1])
      return { bytes: kibibytes('VmRSS') * 1024, peakBytes: kibibytes('VmHWM') * 1024 }
    },
    async close() {
      process.off('exit', kill)
      child.kill('SIGTERM')
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    },
  }
}

async function responds(port: number): Promise<boolean> {
  try {
    await (await fetch(`http://127.0.0.1:${port}/health`)).text()
    return true
  } catch {
    // Not listening yet.
    return false
  }
}
