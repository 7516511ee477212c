import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const main = join(import.meta.dirname, '../../packages/local/src/main.ts')

/**
 * Starts the whole system the way `npm start` does, on a free port, with a Redis and data of its own.
 *
 * @returns the console's address, and `close()`
 * @throws Error with what it printed when it ends before it is up
 */
export async function startSystem() {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-browser-'))
  const { REDIS_URL: _, ...environment } = process.env
  const child = spawn(process.execPath, [main, '--port', '0', '--data', directory], {
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  const url = await new Promise<string>((resolve, reject) => {
    child.once('close', () => reject(new Error(`The system ended before it was up:\n${output}`)))
    createInterface(child.stdout).on('line', (line) => {
      output += `${line}\n`
      const [address] = /http:\/\/\S+/.exec(line) ?? []
      if (address) resolve(address)
    })
  })
  return {
    url,
    async close() {
      child.kill('SIGTERM')
      if (child.exitCode === null) await once(child, 'close')
      await rm(directory, { recursive: true })
    },
  }
}
