import { spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Environment } from '@millrace/shared/service/environment.ts'
import { processEnvironment } from './process-environment.ts'

const entry = new URL('../../packages/api/src/main.ts', import.meta.url).pathname

export type ApiProcess = Awaited<ReturnType<typeof startApiProcess>>

/**
 * Starts one API instance as a separate process, as in production, and collects its output.
 *
 * @param environment all variables of its config except PORT
 */
export async function startApiProcess(environment: Environment) {
  const child = spawn(process.execPath, [entry], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...processEnvironment(),
      ...environment,
      PORT: '0',
    },
  })
  let isKilled = false
  const lines: string[] = []
  const output = new EventEmitter()
  const listening = Promise.withResolvers<number>()
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  const readLine = (line: string) => {
    lines.push(line)
    output.emit('line')
    const record: { event?: string; port?: number } = line.startsWith('{') ? JSON.parse(line) : {}
    if (record.event === 'listening' && record.port) listening.resolve(record.port)
  }
  createInterface({ input: child.stdout }).on('line', readLine)
  createInterface({ input: child.stderr }).on('line', readLine)
  ended.then((code) => listening.reject(new Error(`The API ended (${code}).\n${lines.join('\n')}`)))
  const port = await listening.promise
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    pid: child.pid,
    /** Whether the process has ended, or was killed and is about to. */
    hasEnded: () => isKilled || child.exitCode !== null || child.signalCode !== null,
    /** All lines of standard output and standard error so far. */
    lines,
    /** Waits until a line contains `text`. */
    async until(text: string): Promise<void> {
      while (!lines.some((line) => line.includes(text))) await once(output, 'line')
    },
    /** Kills the process with SIGKILL, as a power failure would. */
    kill: () => {
      isKilled = true
      child.kill('SIGKILL')
    },
    /** Suspends the process, as a hypervisor may do. It keeps its connections. */
    suspend: () => child.kill('SIGSTOP'),
    /** Lets a suspended process continue. */
    resume: () => child.kill('SIGCONT'),
    /** Stops the process with SIGTERM. Returns its exit code after its whole output was read. */
    async stop(): Promise<number | null> {
      child.kill('SIGTERM')
      return ended
    },
  }
}
