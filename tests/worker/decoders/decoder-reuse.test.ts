import { fileURLToPath } from 'node:url'
import { createDecoderPool } from '@millrace/worker/decoders/decoder-pool.ts'
import { readProcessUsage } from '@millrace/worker/decoders/process-usage.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('decoders that are used again')
const pool = createDecoderPool({
  program: fileURLToPath(import.meta.resolve('../support/faulty-decoder.ts')),
  environment: {},
  recycle: { jobs: 100, rssBytes: 1024 ** 3 },
})
test.after(() => pool.close())

/** Runs a command. @returns how it ended, by which process, and what that used */
async function run(command: string) {
  const end = await pool.run(
    { kind: 'image/png', preset: { name: 'p', variants: [] }, maxPixels: 1, file: Buffer.from(command) },
    {
      fresh: false,
      limits: { cpuMs: 60_000, wallMs: 60_000, rssBytes: 1024 ** 3 },
      signal: new AbortController().signal,
      onAnswer: () => {},
    },
  )
  if (end.end !== 'answered') throw new Error(end.reason)
  const { last, used } = end
  const [pid] = (last.type === 'rendered' ? (last.findings.placeholder ?? '') : '').split(' ')
  return { type: last.type, pid: Number(pid), cpuMs: used?.cpuMs }
}

test('the CPU time of a job is its own, and a decoder with a fault of ours gets no other job', async () => {
  const first = await run('ok')
  const second = await run('ok')
  assert.is(second.pid, first.pid)
  const whole = readProcessUsage(first.pid)?.cpuMs
  if (whole !== undefined) {
    // Loading the program takes some 100 ms, and a job some 10 ms.
    for (const { cpuMs = Number.NaN } of [first, second])
      assert.ok(cpuMs < whole / 2, `${cpuMs} of ${whole} ms`)
  }
  assert.is((await run('broken')).type, 'broken')
  assert.is.not((await run('ok')).pid, first.pid)
})

test.run()
