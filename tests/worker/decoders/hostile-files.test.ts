import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { flagPicture } from '../support/colours.ts'
import { hostileImages } from '../support/hostile-images.ts'
import { startTestDecoders } from '../support/start-test-decoders.ts'

const test = suite('hostile files in decoders', {}, { limitMs: 120_000 })
let decoders: ReturnType<typeof startTestDecoders>
test.before(() => {
  decoders = startTestDecoders()
})
test.after(() => decoders.close())

const hostile = Object.entries(await hostileImages())

for (const [name, { bytes, outcomes }] of hostile) {
  test(`${name} ends in an outcome with a name`, async () => {
    const outcome = await decoders.outcome(bytes)
    assert.ok(outcomes.includes(outcome), outcome)
  })
}

test('good files beside all hostile ones are rendered', async () => {
  const good = await flagPicture().jpeg().toBuffer()
  const mixed = hostile.flatMap(([name, { bytes }]) => [
    { name, bytes },
    { name: 'good', bytes: good },
  ])
  const found = await decoders.outcomes(mixed)
  assert.equal(found.good, { ready: hostile.length })
})

test.run()
