import { spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Environment } from '@millrace/shared/service/environment.ts'

const entry = new URL('../../packages/api/src/main.ts', import.meta.url).pathname

export type ApiProcess = Awaited<ReturnType<typeof startApiProcess>>

/**
 * Starts one API instance as the process that it is in production, and keeps all that it writes.
 *
 * @param environment all that its config needs, but for the port
 */
export async function startApiProcess(environment: Environment) {
  const { PATH } = process.env
  const child = spawn(process.execPath, [entry], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...(PATH !== undefined && { PATH }), ...environment, PORT: '0' },
  })
  const lines: string[] = []
  const said = new EventEmitter()
  const listening = Promise.withResolvers<number>()
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  const readLine = (line: string) => {
    lines.push(line)
    said.emit('line')
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
    /** Each line of standard output and error so far. */
    lines,
    /** Waits until a line has this in it. */
    async until(text: string): Promise<void> {
      while (!lines.some((line) => line.includes(text))) await once(said, 'line')
    },
    /** Ends it as a machine ends that loses its power. */
    kill: () => child.kill('SIGKILL'),
    /** @returns its exit code, once all that it wrote has been read */
    async stop(): Promise<number | null> {
      child.kill('SIGTERM')
      return ended
    },
  }
}
