import { flushCompileCache } from 'node:module'
import { createDecoderPool } from '@millrace/worker/decoders/decoder-pool.ts'
import { compileCacheVariables } from './compile-cache.ts'

/** A process with an idle and a busy decoder. It prints their process ids and waits to be killed. */
const pool = createDecoderPool({
  program: process.argv[2] ?? '',
  environment: compileCacheVariables,
  recycle: { jobs: 100, rssBytes: 1024 ** 3 },
})
const limits = { cpuMs: 60_000, wallMs: 60_000, rssBytes: 1024 ** 3 }
const { signal } = new AbortController()
const preset = { name: 'none', variants: [] }
const run = (command: string, onAnswer: () => void) =>
  pool.run(
    { kind: 'image/png', preset, maxPixels: 1, file: Buffer.from(command) },
    { fresh: false, limits, signal, onAnswer },
  )
const busy = Promise.withResolvers<void>()
run('hang', busy.resolve).catch(() => {})
await busy.promise
const [idle, hanging] = [await run('ok', () => {}), pool.busyPids()]
if (idle.end !== 'answered' || idle.last.type !== 'rendered') throw new Error(idle.end)
// It is killed, so Node will not write it.
flushCompileCache()
process.stdout.write(`${idle.last.findings.placeholder?.split(' ')[0]} ${hanging.join(' ')}\n`)
