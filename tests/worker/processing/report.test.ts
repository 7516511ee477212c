import { Evidence } from '@millrace/shared/ledger/evidence.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createReport } from '@millrace/worker/processing/report.ts'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('report')
const evidence = Compile(Evidence)
const failing = () => {
  throw new AppError('image_corrupt', { cause: new RangeError('secret') })
}

test('a report becomes evidence that manifests accept', async () => {
  const before = Date.now()
  const report = createReport({ attempt: 2 })
  report.foundTypeBy('signature')
  report.require('size', () => {})
  assert.throws(
    () => report.require('type', failing),
    (error: unknown) => error instanceof AppError && error.code === 'image_corrupt',
  )
  report.check('clamd', 'skipped')
  report.addLimits({ maxImageBytes: 5 })
  report.addTools({ sharp: '1.2.3' })
  await report.measure('read', async (use) => use({ bytes: 7 }))
  await report
    .measure('render', async (use) => {
      use({ cpuMs: 30 })
      failing()
    })
    .catch(() => {})
  const { startedAt, ...found } = evidence.Parse(JSON.parse(JSON.stringify(report.evidence())))
  assert.ok(Date.parse(startedAt ?? '') >= before)
  assert.equal(
    { ...found, steps: found.steps.map(({ ms: _, ...step }) => step) },
    {
      attempt: 2,
      typeFoundBy: 'signature',
      checks: [
        { name: 'size', result: 'passed' },
        { name: 'type', result: 'failed' },
        { name: 'clamd', result: 'skipped' },
      ],
      limits: { maxImageBytes: 5 },
      tools: { sharp: '1.2.3' },
      steps: [
        { name: 'read', bytes: 7 },
        { name: 'render', cpuMs: 30 },
      ],
    },
  )
})

test('the last error is named without its message', () => {
  const { lastError } = createReport().evidence(new AppError('internal', { cause: new RangeError('secret') }))
  assert.equal(lastError, { code: 'internal', cause: 'RangeError' })
  assert.equal(createReport().evidence(new TypeError('secret')).lastError, { code: 'TypeError' })
  assert.equal(createReport().evidence('secret').lastError, { code: 'string' })
})

test('a long text of a library is cut', () => {
  const report = createReport()
  report.check('decoding', 'failed', 'x'.repeat(100_000))
  assert.is(report.evidence().checks[0]?.detail?.length, 300)
})

test('only steps that are reached after a listener was added reach it', () => {
  const report = createReport()
  const reached: string[] = []
  report.reach({ step: 'inspecting' })
  report.onReached(({ step }) => reached.push(step))
  report.reach({ step: 'publishing' })
  assert.equal(reached, ['publishing'])
})

test.run()
