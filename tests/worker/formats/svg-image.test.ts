import { once } from 'node:events'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { gzipSync } from 'node:zlib'
import { defaultPreset } from '@millrace/shared/presets/preset.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createDecoders } from '@millrace/worker/decoders/decoders.ts'
import sharp from 'sharp'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { pixelAt, renderFile } from '../support/render-file.ts'
import { samplePicture } from '../support/sample-images.ts'

// A decoder that is ended twice by its limit of CPU time, on a busy machine.
const test = suite('SVG', {}, { limitMs: 120_000 })
const xmlns = 'xmlns="http://www.w3.org/2000/svg"'

function svg(content: string, { size = 'width="20" height="20"', before = '' } = {}): Buffer {
  return Buffer.from(
    `${before}<svg ${xmlns} xmlns:xi="http://www.w3.org/2001/XInclude" ${size}>${content}</svg>`,
  )
}

const redSquare = '<rect width="20" height="20" fill="#f00"/>'
const red = [255, 0, 0, 255]
const clear = [0, 0, 0, 0]

test('an SVG is drawn in the size of each variant, larger than its own', async () => {
  const { outcome, size, variant } = await renderFile(
    svg('<rect width="10" height="10" fill="#f00"/><rect x="10" y="10" width="10" height="10" fill="#00f"/>'),
    { width: 640 },
  )
  assert.equal([outcome, size], ['ready', '20×20'])
  const { data, info } = await sharp(variant).raw().toBuffer({ resolveWithObject: true })
  assert.equal([info.width, info.height, info.channels], [640, 640, 4])
  // Enlarged pixels would be blurred at the edge.
  const edge = [...data.subarray((100 * 640 + 318) * 4, (100 * 640 + 322) * 4)]
  assert.equal(edge, [...red, ...red, ...clear, ...clear])
})

test('an SVG is cut to the box of a variant that it covers', async () => {
  const { variant } = await renderFile(
    svg(redSquare, { size: 'width="20" height="10" viewBox="0 0 20 10"' }),
    {
      width: 300,
      height: 300,
      fit: 'cover',
    },
  )
  const { width, height } = await sharp(variant).metadata()
  assert.equal([width, height], [300, 300])
})

// Compared with rsvg-convert 2.54.7 (`rsvg-convert -w 64`): the colours of the middles of the quarters, ΔE 0.
test('colours and orientation are those of an independent renderer', async () => {
  const gradient = `<linearGradient id="g"><stop stop-color="#f00"/><stop offset="1" stop-color="#00f"/></linearGradient>
    <rect width="20" height="20" fill="url(#g)"/><circle cx="15" cy="15" r="4" fill="#0a0" fill-opacity=".5"/>`
  const { variant } = await renderFile(svg(gradient), { width: 64 })
  assert.equal(
    await Promise.all(
      [
        [16, 16],
        [48, 16],
        [48, 48],
      ].map(([x = 0, y = 0]) => pixelAt(variant, x, y)),
    ),
    [
      [189, 0, 66, 255],
      [62, 0, 193, 255],
      [31, 85, 96, 255],
    ],
  )
})

for (const [name, size, expected] of [
  ['a view box only', 'viewBox="0 0 30 10"', '30×10'],
  ['percentages and a view box', 'width="100%" height="100%" viewBox="0 0 30 10"', '30×10'],
  ['one side and a view box', "width='60' viewBox='0,0,30 10'", '60×20'],
  [
    'millimetres, of which 25.4 are 96 pixels',
    'width="210mm" height="297mm" viewBox="0 0 210 297"',
    '794×1123',
  ],
  ['inches and points', 'width="1in" height="72pt" viewBox="0 0 20 20"', '96×96'],
  ['no size: that of what is drawn', '', '20×20'],
  ['metres', 'width="900cm" height="300cm" viewBox="0 0 20 20" preserveAspectRatio="none"', '34016×11339'],
  ['less than a pixel', 'width="0.8" height="0.8" viewBox="0 0 20 20"', '1×1'],
  ['a size of a gigapixel', 'width="30000" height="30000" viewBox="0 0 20 20"', '30000×30000'],
  ['a size in a style', 'style="width:40px;height:40px" viewBox="0 0 20 20"', '40×40'],
] as const) {
  test(`an SVG with ${name} is ${expected}`, async () => {
    const { outcome, size: found, variant } = await renderFile(svg(redSquare, { size }), { width: 90 })
    assert.equal([outcome, found], ['ready', expected])
    assert.equal(await pixelAt(variant, 5, 5), red)
  })
}

test('an SVG without a size and without content is an empty picture, as in browsers', async () => {
  const { outcome, size, variant } = await renderFile(Buffer.from(`<svg ${xmlns}/>`), { width: 30 })
  assert.equal([outcome, size], ['ready', '300×150'])
  assert.equal(await pixelAt(variant, 5, 5), clear)
})

test('a thin SVG is drawn with at least one pixel on each side', async () => {
  const { outcome, variant } = await renderFile(svg(redSquare, { size: 'width="2000" height="1"' }), {
    width: 40,
  })
  const { width, height } = await sharp(variant).metadata()
  assert.equal([outcome, width, height], ['ready', 40, 1])
})

for (const [name, size] of [
  ['no width', 'width="0" height="10"'],
  ['a negative width', 'width="-10" height="10"'],
  ['a hundredth of a pixel', 'width="0.01" height="0.01" viewBox="0 0 20 20"'],
  ['a side of 1e9 pixels', 'width="1e9" height="1e9"'],
  ['a side that is a million times the other', 'width="10000000" height="10" viewBox="0 0 20 20"'],
] as const) {
  test(`an SVG with ${name} is not supported`, async () => {
    assert.is((await renderFile(svg(redSquare, { size }))).outcome, 'image_not_supported')
  })
}

test('a vector image that covers a box is drawn with 25 megapixels at most', async () => {
  const { outcome, variant } = await renderFile(
    svg(redSquare, { size: 'width="1" height="10000" viewBox="0 0 20 20"' }),
    { width: 400, height: 400, fit: 'cover' },
  )
  const { width = 0, height } = await sharp(variant).metadata()
  assert.equal([outcome, width < 10, height], ['ready', true, 400])
})

test('an SVG opens no file and no address', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'svg-'))
  const png = await samplePicture(20, 20).png().toBuffer()
  await writeFile(join(directory, 'other.png'), png)
  await writeFile(
    join(directory, 'other.svg'),
    svg('<g id="r"><rect width="20" height="20" fill="#0f0"/></g>'),
  )
  await writeFile(join(directory, 'other.css'), 'rect{fill:#0f0!important}')
  const requests: (string | undefined)[] = []
  const server = createServer((request, response) => {
    requests.push(request.url)
    response.end(png)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const http = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`
  const file = pathToFileURL(directory).href
  const before = process.cwd()
  process.chdir(directory)
  try {
    for (const base of [file, http, directory, '.']) {
      for (const [content, prologue] of [
        [`<image href="${base}/other.png" width="20" height="20"/>`],
        [`<use href="${base}/other.svg#r"/>`],
        [`<xi:include href="${base}/other.svg" parse="xml"/>`],
        [`<style>@import "${base}/other.css";@import url(${base}/other.css);</style>${redSquare}`],
        [redSquare, `<?xml-stylesheet href="${base}/other.css" type="text/css"?>`],
        [redSquare, `<!DOCTYPE svg SYSTEM "${base}/other.dtd">`],
        [
          `<filter id="f"><feImage href="${base}/other.png"/></filter><rect width="20" height="20" filter="url(#f)"/>`,
        ],
        [`<rect width="20" height="20" fill="url(${base}/other.svg#r) #f00"/>`],
        [
          `<foreignObject width="20" height="20"><iframe xmlns="http://www.w3.org/1999/xhtml" src="${base}/other.svg"/></foreignObject>`,
        ],
        [
          `<image width="20" height="20" href="data:image/svg+xml;base64,${svg(`<image href="${base}/other.png" width="20" height="20"/>`).toString('base64')}"/>`,
        ],
      ] as const) {
        const { outcome, variant } = await renderFile(svg(content, { before: prologue ?? '' }), {
          kind: 'image/svg+xml',
        })
        assert.is(outcome, 'ready', content)
        const pixel = await pixelAt(variant, 15, 15)
        assert.equal(pixel, content.includes('#f00') ? red : clear, content)
      }
      for (const declaration of [
        `<!ENTITY x SYSTEM "${base}/other.css">`,
        `<!ENTITY % y SYSTEM "${base}/other.dtd"> %y;`,
      ]) {
        const entity = svg(`${redSquare}<text>&x;</text>`, { before: `<!DOCTYPE svg [${declaration}]>` })
        assert.is((await renderFile(entity, { kind: 'image/svg+xml' })).outcome, 'image_corrupt')
      }
    }
    assert.equal(requests, [])
  } finally {
    process.chdir(before)
    server.close()
  }
})

test('images in data URLs are drawn', async () => {
  const png = await sharp({ create: { width: 2, height: 2, channels: 3, background: '#f00' } })
    .png()
    .toBuffer()
  for (const data of [
    `data:image/png;base64,${png.toString('base64')}`,
    `data:image/svg+xml;base64,${svg(redSquare).toString('base64')}`,
  ]) {
    const { variant } = await renderFile(svg(`<image href="${data}" width="20" height="20"/>`))
    assert.equal(await pixelAt(variant, 10, 10), red)
  }
})

for (const [name, bytes] of [
  ['a long comment first', svg(redSquare, { before: `<!-- ${'x'.repeat(2000)} -->\n` })],
  [
    'a prefixed root',
    Buffer.from(
      `<s:svg ${xmlns.replace('xmlns', 'xmlns:s')} width="20" height="20"><s:rect width="20" height="20" fill="red"/></s:svg>`,
    ),
  ],
  ['a byte order mark', svg(redSquare, { before: '\uFEFF<?xml version="1.0" encoding="utf-8"?>' })],
  [
    'entities of its own',
    svg('<rect width="20" height="20" fill="&colour;"/>', {
      before: '<!DOCTYPE svg [<!ENTITY colour "#f00"><!-- > -->]>',
    }),
  ],
  [
    'UTF-16',
    Buffer.concat([
      Buffer.from([0xff, 0xfe]),
      Buffer.from(
        svg(redSquare, { before: '<?xml version="1.0" encoding="UTF-16"?>' }).toString(),
        'utf16le',
      ),
    ]),
  ],
  [
    'UTF-16 of the other byte order',
    Buffer.concat([
      Buffer.from([0xff, 0xfe]),
      Buffer.from(
        svg(redSquare, { before: '<?xml version="1.0" encoding="UTF-16"?>' }).toString(),
        'utf16le',
      ),
    ]).swap16(),
  ],
  [
    'Latin 1',
    Buffer.from(
      svg(`${redSquare}<!-- \xe9 -->`, { before: '<?xml version="1.0" encoding="ISO-8859-1"?>' }).toString(),
      'latin1',
    ),
  ],
  ['a script', svg(`<script>while(true){}</script>${redSquare}`)],
  [
    'an animation',
    svg(`<rect width="20" height="20" fill="#f00"><animate attributeName="fill" to="#00f" dur="1s"/></rect>`),
  ],
  ['text after its root', Buffer.concat([svg(redSquare), Buffer.from('\n<!-- end -->\n')])],
] as const) {
  test(`an SVG with ${name} is drawn`, async () => {
    const { outcome, variant } = await renderFile(bytes, { kind: 'image/svg+xml' })
    assert.is(outcome, 'ready')
    assert.equal(await pixelAt(variant, 10, 10), red)
  })
}

// Without any font, each letter is a box.
test('text is drawn with the fonts of the system', async () => {
  assert.is((await renderFile(svg('<text y="15">é 日本</text>'))).outcome, 'ready')
})

test('an SVG that is cut is incomplete at each place, and one with faulty XML is damaged', async () => {
  const whole = svg(`<g><!-- c --><![CDATA[<]]><path d="M0 0" fill='red'/></g>`, {
    before: '<?xml version="1.0"?>',
  })
  for (let end = whole.indexOf('<svg'); end < whole.length; end += 7) {
    const { outcome, message } = await renderFile(whole.subarray(0, end), { kind: 'image/svg+xml' })
    assert.equal(
      [outcome, message],
      ['image_corrupt', 'The SVG is incomplete: the file ends before the end of the image.'],
    )
  }
  for (const faulty of ['<rect></g>', '<rect fill=red/>', '&unknown;', '<rect x="1" x="1"/>']) {
    const { outcome, message } = await renderFile(svg(faulty), { kind: 'image/svg+xml' })
    assert.equal(
      [outcome, message],
      ['image_corrupt', 'The SVG is damaged: its image data cannot be decoded.'],
      faulty,
    )
  }
})

const nestedEntities = `<!DOCTYPE svg [<!ENTITY a "${'a'.repeat(50)}">${['b', 'c', 'd', 'e', 'f', 'g']
  .map((name, i) => `<!ENTITY ${name} "${`&${'abcdef'[i]};`.repeat(20)}">`)
  .join('')}]>`
const nestedUses = Array.from(
  { length: 30 },
  (_, i) => `<g id="u${i + 1}">${`<use href="#u${i}"/>`.repeat(10)}</g>`,
).join('')
for (const [name, bytes, code] of [
  ['entities of entities', svg('<text>&g;</text>', { before: nestedEntities }), 'image_corrupt'],
  [
    '10^30 uses of an element',
    svg(`<defs><rect id="u0" width="1" height="1"/>${nestedUses}</defs><use href="#u30"/>`),
    'image_too_complex',
  ],
  ['300 nested elements', svg('<g>'.repeat(300) + '</g>'.repeat(300)), 'image_too_complex'],
  ['200,001 elements', svg('<g/>'.repeat(200_001)), 'image_too_complex'],
  ['200,001 open elements', svg('<g>'.repeat(200_001)), 'image_too_complex'],
] as const) {
  test(`an SVG with ${name} is rejected`, async () => {
    assert.is((await renderFile(bytes, { kind: 'image/svg+xml' })).outcome, code)
  })
}

test('an SVG that uses itself, or a pattern in itself, ends', async () => {
  for (const content of [
    '<g id="a"><use href="#a"/></g>',
    '<pattern id="p" width="1" height="1"><rect width="1" height="1" fill="url(#p)"/></pattern><rect width="20" height="20" fill="url(#p)"/>',
    '<style>@keyframes x{} :root{--a:var(--a)}</style>',
  ]) {
    assert.ok(['ready', 'image_too_complex'].includes((await renderFile(svg(content))).outcome), content)
  }
})

test('any bytes of an SVG have an outcome', async () => {
  const whole = svg(
    `<defs><linearGradient id="g"><stop offset="1" stop-color="red"/></linearGradient></defs>
    <style>rect{fill:url(#g)}</style><g transform="rotate(9)"><rect width="9" height="9"/><path d="M1 1L9 9"/></g>`,
    { before: '<?xml version="1.0" encoding="UTF-8"?><!-- c --><!DOCTYPE svg [<!ENTITY a "b">]>' },
  )
  let seed = 5
  for (let round = 0; round < 100; round++) {
    const bytes = Buffer.from(whole.subarray(0, round % 4 === 0 ? (round * 37) % whole.length : whole.length))
    for (let flips = 0; flips < 1 + (round % 4) && bytes.length > 0; flips++) {
      seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff
      bytes[seed % bytes.length] = (seed >> 12) & 0xff
    }
    const { outcome } = await renderFile(bytes, { kind: 'image/svg+xml' })
    const named = ['ready', 'image_corrupt', 'image_too_complex', 'image_not_supported']
    assert.ok(named.includes(outcome), outcome)
  }
})

test('an SVG that takes too long ends its decoder, and is rejected', async () => {
  const decoders = createDecoders({
    config: {
      slots: 1,
      maxImagePixels: 100_000_000,
      decoderCpuLimitMs: 700,
      decoderTimeLimitMs: 60_000,
      decoderMemoryBytes: 1024 ** 3,
      decoderPreload: undefined,
    },
  })
  const slow = svg(
    `<filter id="f" x="0" y="0" width="1" height="1"><feTurbulence baseFrequency=".05" numOctaves="50"/></filter>
    <rect width="20" height="20" filter="url(#f)"/>`,
  )
  try {
    const outcome = await decoders
      .renderImage(
        { kind: 'image/svg+xml', bytes: slow, preset: defaultPreset },
        { signal: new AbortController().signal, onInspected: () => {}, emit: () => {} },
      )
      .then(
        () => 'ready',
        (error: unknown) => (error instanceof AppError ? error.code : error),
      )
    assert.is(outcome, 'poison_file')
  } finally {
    await decoders.close()
  }
})

test('only an SVG reaches the loader of SVG', async () => {
  const picture = svg(redSquare)
  for (const kind of ['image/png', 'image/jpeg', 'image/gif', 'image/tiff'] as const) {
    assert.is((await renderFile(picture, { kind })).outcome, 'image_corrupt')
  }
  const png = await samplePicture(20, 20).png().toBuffer()
  assert.is((await renderFile(png, { kind: 'image/svg+xml' })).outcome, 'image_corrupt')
  assert.is((await renderFile(gzipSync(picture), { kind: 'image/svg+xml' })).outcome, 'image_corrupt')
})

test.run()
