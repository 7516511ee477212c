import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { testSignature } from './fake-clamd.ts'

/** The line that clamd logs when it takes commands. */
const readyLine = 'Self checking every'

/**
 * Starts ClamAV's daemon on a Unix socket, with a database of one signature: `testSignature`. It needs no download.
 *
 * @param program the path of clamd
 * @param options.maxBytes its StreamMaxLength
 */
export async function startRealClamd(program: string, { maxBytes }: { maxBytes: number }) {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-real-clamd-'))
  // As root, clamd changes to the user of its configuration, if it has one.
  await chmod(directory, 0o755)
  const database = join(directory, 'database')
  await mkdir(database)
  // Name, target type (any), offset (any), signature in hex: ClamAV's documentation, "Extended signature format".
  const signature = Buffer.from(testSignature).toString('hex')
  await writeFile(join(database, 'test.ndb'), `Millrace.Test:0:*:${signature}\n`)
  const socketPath = join(directory, 'clamd.ctl')
  const configuration = join(directory, 'clamd.conf')
  const settings = [
    'Foreground yes',
    `LocalSocket ${socketPath}`,
    `DatabaseDirectory ${database}`,
    `TemporaryDirectory ${directory}`,
    `StreamMaxLength ${maxBytes}`,
    'MaxThreads 2',
  ]
  await writeFile(configuration, `${settings.join('\n')}\n`)
  const child = spawn(program, ['--config-file', configuration], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  const lines = createInterface({ input: child.stdout })
  const ready = Promise.withResolvers<void>()
  const output: string[] = []
  lines.on('line', (line) => {
    output.push(line)
    if (line.includes(readyLine)) ready.resolve()
  })
  void exited.then(() => ready.reject(new Error(`clamd ended: ${output.join(' / ')}`)))
  await ready.promise
  return {
    url: `unix:${socketPath}`,
    async close(): Promise<void> {
      child.kill('SIGKILL')
      await exited
      await rm(directory, { recursive: true })
    },
  }
}
