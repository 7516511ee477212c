import { sharp } from '@millrace/worker/pixels/sharp-setup.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { renderFile } from '../support/render-file.ts'

const test = suite('loader of SVG')
const svg = (content: string) =>
  Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">${content}</svg>`)
const picture = svg('<rect width="9" height="9"/>')

/** Opens an SVG with libvips as no kind. @returns the format that libvips found, or its error */
function openPlain(): Promise<string> {
  return sharp(picture)
    .metadata()
    .then(({ format }) => format, String)
}

test('libvips opens an SVG while one is rendered only, also after one that failed', async () => {
  const closed = 'Error: Input buffer contains unsupported image format'
  assert.is(await openPlain(), closed)
  for (const [file, outcome] of [
    [picture, 'ready'],
    [svg('<rect></g>'), 'image_corrupt'],
    [svg('<g><g>'), 'image_corrupt'],
  ] as const) {
    assert.is((await renderFile(file, { kind: 'image/svg+xml' })).outcome, outcome)
    assert.is(await openPlain(), closed, outcome)
  }
})

test.run()
