import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { flagPicture } from '../support/colours.ts'
import { hostileImages } from '../support/hostile-images.ts'
import { startTestDecoders } from '../support/start-test-decoders.ts'

const test = suite('hostile files in decoders', {}, { limitMs: 120_000 })
const hostile = Object.entries(await hostileImages())
/** How many files of each name have each outcome. */
let found: Record<string, Record<string, number>>

test.before(async () => {
  const good = await flagPicture().jpeg().toBuffer()
  const mixed = hostile.flatMap(([name, { bytes }]) => [
    { name, bytes },
    { name: 'good', bytes: good },
  ])
  const decoders = startTestDecoders()
  found = await decoders.outcomes(mixed)
  await decoders.close()
})

for (const [name, { outcomes }] of hostile) {
  test(`${name} ends in an outcome with a name`, () => {
    const [outcome = '', ...others] = Object.keys(found[name] ?? {})
    assert.ok(outcomes.includes(outcome), outcome)
    assert.equal(others, [])
  })
}

test('good files beside all hostile ones are rendered', () => {
  assert.equal(found['good'], { ready: hostile.length })
})

test.run()
