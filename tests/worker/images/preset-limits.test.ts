import { readPresets } from '@millrace/shared/presets/read-presets.ts'
import { sharp } from '@millrace/worker/pixels/sharp-setup.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('preset limits')

/** Whether a preset may have a variant with these settings. */
function isAccepted(settings: { format: string; quality: number; effort?: number }): boolean {
  const preset = { name: 'a', variants: [{ name: 'b', fit: 'inside', width: 10, ...settings }] }
  let accepted = true
  readPresets({ PRESETS: JSON.stringify([preset]) }, () => {
    accepted = false
  })
  return accepted
}

function throws(call: () => unknown): boolean {
  try {
    call()
    return false
  } catch {
    return true
  }
}

test('presets accept exactly the efforts that sharp accepts', () => {
  for (const format of ['webp', 'avif'] as const) {
    for (let effort = -1; effort <= 11; effort += 1) {
      const sharpAccepts = !throws(() => sharp().toFormat(format, { effort }))
      assert.is(isAccepted({ format, quality: 80, effort }), sharpAccepts, `${format}, effort ${effort}`)
    }
  }
})

test('presets accept exactly the qualities that sharp accepts', () => {
  for (const format of ['webp', 'avif', 'jpeg'] as const) {
    for (const quality of [-1, 0, 1, 100, 101]) {
      const sharpAccepts = !throws(() => sharp().toFormat(format, { quality }))
      assert.is(isAccepted({ format, quality }), sharpAccepts, `${format}, quality ${quality}`)
    }
  }
})

test.run()
