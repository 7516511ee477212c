import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'

/** Runs a program with the Node of the tests, and returns its exit code and output. */
export async function runCommand(program: string, parameters: string[], environment: NodeJS.ProcessEnv) {
  const child = spawn(process.execPath, [program, ...parameters], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: environment,
  })
  const closed = once(child, 'close')
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)])
  const [code]: unknown[] = await closed
  return { code, output, errors }
}
