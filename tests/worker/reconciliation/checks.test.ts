import { AppError } from '@millrace/shared/service/app-error.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { createChecks } from '@millrace/worker/reconciliation/checks.ts'
import { createFindings } from '@millrace/worker/reconciliation/findings.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('checks of a sweep')
const log = createLog({ level: 'silent', instance: 'test' })
const addresses = (count: number): UploadAddress[] =>
  Array.from({ length: count }, (_, n) => ({ owner: 's-tester', id: String(n) }))

function create(options: { isDryRun?: boolean; nextCheck?: () => Promise<void> } = {}) {
  const { isDryRun = false, nextCheck = async () => {} } = options
  const findings = createFindings({ maxIds: 2 })
  return { findings, ...createChecks({ nextCheck, findings, isDryRun, log }) }
}

/** Waits until all that could happen by itself has happened. */
async function quiet(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
}

const outage = () => new AppError('dependency_unavailable')

test('an upload that cannot be corrected is counted and returned, and the others are corrected', async () => {
  const { correct, findings } = create()
  const corrected: string[] = []
  const failed = await correct('unfinished-record', addresses(3), async ({ id }) => {
    if (id === '1') throw new TypeError('a fault of ours')
    corrected.push(id)
  })
  assert.equal(corrected, ['0', '2'])
  assert.equal(failed, [{ owner: 's-tester', id: '1' }])
  assert.equal(findings.counts(), { 'unfinished-record': 3, failed: 1, checked: 2 })
})

test('a dry run counts and names what it finds, and corrects nothing', async () => {
  const { correct, findings } = create({ isDryRun: true })
  const failed = await correct('expired-parts', addresses(3), async () =>
    assert.unreachable('It was corrected.'),
  )
  assert.equal(failed, [])
  assert.equal(findings.counts(), { 'expired-parts': 3 })
  assert.equal(findings.allNamed(), { 'expired-parts': ['s-tester/0', 's-tester/1'] })
})

test('at most 16 uploads are checked at a time, and the next one begins when one of them has ended', async () => {
  const { each } = create()
  const running = new Map<string, () => void>()
  const done = each(addresses(18), ({ id }) => new Promise((resolve) => running.set(id, resolve)))
  await quiet()
  assert.is(running.size, 16)
  running.get('7')?.()
  await quiet()
  assert.is(running.size, 17)
  for (const id of ['0', '1', '2']) running.get(id)?.()
  await quiet()
  assert.is(running.size, 18)
  for (const end of running.values()) end()
  assert.equal(await done, [])
})

test('an outage ends the run with its error, after the uploads that were begun, and no further one is begun', async () => {
  const { each, findings } = create()
  const begun: string[] = []
  const ended: string[] = []
  const error = outage()
  const run = each(addresses(40), async ({ id }) => {
    begun.push(id)
    if (id === '3') throw error
    await quiet()
    ended.push(id)
  })
  assert.is(await run.catch((thrown: unknown) => thrown), error)
  assert.ok(begun.length < 40, `${begun.length} were begun`)
  assert.is(ended.length, begun.length - 1)
  assert.equal(findings.counts(), { failed: 1 })
})

test('a run that must end waits for the uploads that were begun', async () => {
  let turns = 0
  const nextCheck = async () => {
    turns += 1
    if (turns === 3) throw new Error('stopped')
  }
  const ended: string[] = []
  const run = create({ nextCheck }).each(addresses(5), async ({ id }) => {
    await quiet()
    ended.push(id)
  })
  assert.match(String(await run.catch((thrown: unknown) => thrown)), 'stopped')
  assert.equal(ended, ['0', '1'])
})

test.run()
