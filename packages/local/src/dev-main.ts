import { join } from 'node:path'
import { startDev } from './dev.ts'
import { abortOnSignal } from './setup/abort-on-signal.ts'
import { privateUmask } from './setup/private-files.ts'
import { withStartErrors } from './setup/with-start-errors.ts'

/** What `sst dev` runs (stacks/dev.ts): Redis, API, console and worker, on the real bucket and queue of a stage. */

const print = (line: string) => process.stderr.write(`${line}\n`)
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
process.umask(privateUmask)

/** @returns the exit code */
async function main(): Promise<number> {
  const { BUCKET: bucket = '', MILLRACE_DEV_DIRECTORY: directory = join('.millrace/dev', bucket) } =
    process.env
  const stopping = abortOnSignal(print)
  const stopped = new Promise<void>((resolve) => stopping.addEventListener('abort', () => resolve()))
  try {
    const dev = await startDev({ environment: process.env, directory, print, stopping })
    process.stdout.write(`Millrace is ready: ${dev.url}\n\n  Files are kept in the bucket ${bucket}\n`)
    try {
      await Promise.race([stopped, dev.failed])
      print('Stopping…')
    } finally {
      await dev.close()
    }
  } catch (error) {
    if (!stopping.aborted) throw error
  }
  print('Stopped.')
  return 0
}

process.exitCode = await withStartErrors(main)
