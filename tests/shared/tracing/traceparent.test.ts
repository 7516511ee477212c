import { isTraceparent, traceIdOf } from '@millrace/shared/tracing/traceparent.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('traceparent')
const traceId = '0af7651916cd43dd8448eb211c80319c'
const spanId = 'b7ad6b7169203331'

test('a traceparent is valid as W3C Trace Context defines it', () => {
  for (const valid of [
    `00-${traceId}-${spanId}-01`,
    `00-${traceId}-${spanId}-00`,
    `01-${traceId}-${spanId}-ff`,
  ])
    assert.ok(isTraceparent(valid), valid)
  const invalid = [
    ...[undefined, null, 7, [], '', 'a'.repeat(10_000)],
    `ff-${traceId}-${spanId}-01`,
    `00-${'0'.repeat(32)}-${spanId}-01`,
    `00-${traceId}-${'0'.repeat(16)}-01`,
    `00-${traceId.toUpperCase()}-${spanId}-01`,
    `00-${traceId}-${spanId}-01-more`,
    ` 00-${traceId}-${spanId}-01`,
    `00-${traceId}-${spanId}-01\n`,
    `00-${traceId}-${spanId}`,
  ]
  for (const value of invalid) assert.not.ok(isTraceparent(value), String(value))
  assert.is(traceIdOf(`00-${traceId}-${spanId}-01`), traceId)
})

test.run()
