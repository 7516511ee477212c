import { rm } from 'node:fs/promises'
import { provideProgram, redisProgram } from '@millrace/local/setup/system-programs.ts'
import * as assert from 'uvu/assert'
import { suite } from '../support/suite.ts'
import type { FaultKind } from './faults.ts'
import { report } from './report.ts'
import { runChaos } from './run-chaos.ts'

/** Kinds that are over in seconds, and after which the promises are hardest to keep. */
const kinds: readonly FaultKind[] = [
  ...(['worker-kill', 'worker-kill-all', 'api-kill', 'redis-flush', 'redis-failover', 'redis-full'] as const),
  ...(['s3-errors', 's3-lost-responses', 'sqs-doubled', 'sqs-swallowed'] as const),
]

const test = suite('Chaos', {}, { limitMs: 150_000 })

test('uploads end as promised while processes die, Redis loses data, and S3 and SQS fail', async () => {
  const lines: string[] = []
  const run = await runChaos({
    uploads: 48,
    // Always the same, so that a failure can be repeated.
    seed: 1,
    windowMs: 12_000,
    kinds,
    // The usual 60 s would be most of this test.
    environment: { ARRIVAL_LEASE_MS: '6000' },
    // Three leases: a message may be lost again.
    standstillMs: 20_000,
    limitMs: 60_000,
    redisProgram: await provideProgram(redisProgram, (line) => lines.push(line)),
    print: (line) => lines.push(line),
  })
  if (run.violations.length === 0) await rm(run.directory, { recursive: true })
  assert.is(run.violations.length, 0, [...lines, ...report(run)].join('\n'))
})

test.run()
