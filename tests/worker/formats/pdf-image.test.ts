import sharp from 'sharp'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { makePdf, onePagePdf, pdfQuarters, pdfStream } from '../support/pdf-builder.ts'
import { pixelAt, renderFile } from '../support/render-file.ts'
import { quarters } from '../support/sample-images.ts'

const test = suite('PDF')
const white = [255, 255, 255, 255]
const red = [255, 0, 0, 255]

for (const [name, bytes, size, expected] of [
  ['a page', onePagePdf(), '200×100', 'red green blue yellow'],
  ['a page turned by 90°', onePagePdf({ page: '/Rotate 90' }), '100×200', 'blue red yellow green'],
  ['a page turned by 180°', onePagePdf({ page: '/Rotate 180' }), '200×100', 'yellow blue green red'],
  ['a cropped page', onePagePdf({ page: '/CropBox[100 50 200 100]' }), '100×50', 'green green green green'],
  [
    'a page whose box does not begin at 0',
    onePagePdf({
      box: '/MediaBox[-100 -50 100 50]',
      content: `1 0 0 1 -100 -50 cm ${pdfQuarters(200, 100)}`,
    }),
    '200×100',
    'red green blue yellow',
  ],
  [
    'bytes before its header',
    Buffer.concat([Buffer.from('X-Header: 1\n\n'), onePagePdf()]),
    '200×100',
    'red green blue yellow',
  ],
  [
    'a broken table of objects',
    Buffer.from(
      onePagePdf()
        .toString('latin1')
        .replace(/xref\n[\s\S]*trailer/, 'xref\n0 0\ntrailer'),
      'latin1',
    ),
    '200×100',
    'red green blue yellow',
  ],
  [
    'a page of a kilometre',
    onePagePdf({ box: '/MediaBox[0 0 2834646 1417323]', content: pdfQuarters(2_834_646, 1_417_323) }),
    '2834646×1417323',
    'red green blue yellow',
  ],
  [
    'a page of 10 × 5 points',
    onePagePdf({ box: '/MediaBox[0 0 10 5]', content: pdfQuarters(10, 5) }),
    '10×5',
    'red green blue yellow',
  ],
] as const) {
  test(`a PDF with ${name} is drawn in the size of its variant`, async () => {
    const { outcome, size: found, variant } = await renderFile(bytes, { kind: 'application/pdf', width: 400 })
    assert.equal([outcome, found], ['ready', size])
    assert.is((await sharp(variant).metadata()).width, 400)
    assert.is(await quarters(variant), expected)
  })
}

// `pdftoppm -r 72` (poppler 22.12) has 127, 178, 127 for the blend, and the same quarters of the page turned by 90°.
test('the background is white paper, and transparency is blended with it', async () => {
  const { variant } = await renderFile(
    onePagePdf({
      content: '/G gs 0 0.4 0 rg 0 0 100 100 re f',
      page: '/Resources<</ExtGState<</G<</ca 0.5>>>>>>',
    }),
    { width: 200 },
  )
  assert.equal(await pixelAt(variant, 150, 50), white)
  const [r = 0, g = 0, b = 0, alpha] = await pixelAt(variant, 50, 50)
  assert.ok(
    Math.abs(r - 128) < 2 && Math.abs(g - 179) < 2 && Math.abs(b - 128) < 2 && alpha === 255,
    `${r} ${g} ${b}`,
  )
})

test('text of the standard fonts is drawn without fonts of the system', async () => {
  const { variant } = await renderFile(
    onePagePdf({
      content: 'BT /F 150 Tf 20 0 Td (I) Tj ET',
      page: '/Resources<</Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica-Bold>>>>>>',
    }),
    { width: 200 },
  )
  assert.equal(await pixelAt(variant, 41, 60), [0, 0, 0, 255])
  // Grey at its edges, not coloured for one kind of screen.
  const { data } = await sharp(variant).removeAlpha().raw().toBuffer({ resolveWithObject: true })
  for (let at = 0; at < data.length; at += 3) assert.is(data[at], data[at + 2])
})

test('annotations and form fields are drawn as they are stored', async () => {
  const appearance = pdfStream('1 0 0 rg 0 0 100 100 re f', '/Type/XObject/Subtype/Form/BBox[0 0 100 100]')
  for (const [catalog, annotation] of [
    ['', '<</Type/Annot/Subtype/Square/Rect[0 0 100 100]/AP<</N 6 0 R>>>>'],
    [
      '/AcroForm<</Fields[5 0 R]>>',
      '<</Type/Annot/Subtype/Widget/FT/Tx/T(a)/Rect[0 0 100 100]/AP<</N 6 0 R>>>>',
    ],
  ] as const) {
    const { variant } = await renderFile(
      onePagePdf({ content: ' ', catalog, page: '/Annots[5 0 R]', more: [annotation, appearance] }),
      { width: 200 },
    )
    assert.equal(await pixelAt(variant, 50, 50), red, annotation)
  }
})

test('scripts of a PDF do not run', async () => {
  const script = '<</S/JavaScript/JS(while\\(true\\){})>>'
  const { outcome, variant } = await renderFile(
    onePagePdf({
      catalog: `/OpenAction${script}/Names<</JavaScript<</Names[(a)${script}]>>>>`,
      page: `/AA<</O${script}>>`,
    }),
    { width: 200 },
  )
  assert.is(outcome, 'ready')
  assert.is(await quarters(variant), 'red green blue yellow')
})

function manyPages(count: number): Buffer {
  const kids = Array.from({ length: count }, (_, i) => `${i + 4} 0 R`)
  return makePdf([
    '<</Type/Catalog/Pages 2 0 R>>',
    `<</Type/Pages/Kids[${kids.join(' ')}]/Count ${count}/MediaBox[0 0 200 100]>>`,
    pdfStream(pdfQuarters(200, 100)),
    ...kids.map(() => '<</Type/Page/Parent 2 0 R/Contents 3 0 R>>'),
  ])
}

test('pages are counted, however many, and the first one is drawn', async () => {
  for (const count of [2, 6000]) {
    const { outcome, image, variant } = await renderFile(manyPages(count), { width: 200 })
    assert.equal([outcome, image?.pages], ['ready', count])
    assert.is(await quarters(variant), 'red green blue yellow')
  }
})

test('another page can be drawn', async () => {
  const pdf = makePdf([
    '<</Type/Catalog/Pages 2 0 R>>',
    '<</Type/Pages/Kids[3 0 R 4 0 R]/Count 2/MediaBox[0 0 20 20]>>',
    '<</Type/Page/Parent 2 0 R>>',
    '<</Type/Page/Parent 2 0 R/Contents 5 0 R>>',
    pdfStream('1 0 0 rg 0 0 20 20 re f'),
  ])
  const { image } = await renderFile(pdf)
  const drawn = await image?.decode(
    { page: 1, isAnimated: false, size: { width: 20, height: 20 } },
    (picture) => picture.png().toBuffer(),
  )
  assert.equal(await pixelAt(drawn ?? Buffer.alloc(0), 10, 10), red)
})

test('a page is drawn with as many pixels as the limit at most, and is whole', async () => {
  const { image } = await renderFile(onePagePdf(), { maxPixels: 20_000 })
  for (const [size, drawn] of [
    [{ width: 200, height: 100 }, '200×100'],
    [{ width: 400, height: 200 }, '200×100'],
    [{ width: 202, height: 101 }, '200×100'],
    [{ width: 16_000, height: 8_000 }, '200×100'],
  ] as const) {
    const picture = await image?.decode({ page: 0, isAnimated: false, size }, (opened) =>
      opened.png().toBuffer(),
    )
    const { width, height } = await sharp(picture).metadata()
    assert.is(`${width}×${height}`, drawn)
    assert.is(await quarters(picture ?? Buffer.alloc(0)), 'red green blue yellow')
  }
})

test('a page that does not open is passed over, and said so', async () => {
  const pdf = makePdf([
    '<</Type/Catalog/Pages 2 0 R>>',
    '<</Type/Pages/Kids[9 0 R 3 0 R]/Count 2/MediaBox[0 0 200 100]>>',
    '<</Type/Page/Parent 2 0 R/Contents 4 0 R>>',
    pdfStream(pdfQuarters(200, 100)),
  ])
  const { outcome, image } = await renderFile(pdf)
  assert.is(outcome, 'ready')
  assert.equal(image?.warnings, ['Page 1 of the PDF cannot be read, so page 2 is the picture.'])
})

test('a PDF that needs a password is not supported, and not damaged', async () => {
  const hex = '00'.repeat(32)
  const { outcome, message } = await renderFile(
    onePagePdf({
      more: [`<</Filter/Standard/V 1/R 2/P -4/O<${hex}>/U<${hex}>>>`],
      trailer: `/Encrypt 5 0 R/ID[<${'11'.repeat(16)}><${'11'.repeat(16)}>]`,
    }),
  )
  assert.is(outcome, 'image_not_supported')
  assert.match(message, 'protected by a password')
})

test('a PDF of which no page opens is damaged, or incomplete if its end is missing', async () => {
  const whole = onePagePdf()
  const cut = await renderFile(whole.subarray(0, 200))
  assert.equal([cut.outcome, cut.message.slice(0, 21)], ['image_corrupt', 'The PDF is incomplete'])
  const empty = await renderFile(makePdf(['<</Type/Catalog/Pages 2 0 R>>', '<</Type/Pages/Kids[]/Count 0>>']))
  assert.equal([empty.outcome, empty.message.slice(0, 18)], ['image_corrupt', 'The PDF is damaged'])
  assert.is((await renderFile(Buffer.from('%PDF-1.7\n1 0 obj\n<<>>\nendobj\n'))).outcome, 'image_corrupt')
})

test('any bytes of a PDF have an outcome', async () => {
  const whole = onePagePdf({ page: '/Annots[5 0 R]', more: ['<</Type/Annot/Subtype/Square/Rect[0 0 9 9]>>'] })
  let seed = 5
  for (let round = 0; round < 60; round++) {
    const bytes = Buffer.from(whole.subarray(0, round % 3 === 0 ? (round * 37) % whole.length : whole.length))
    for (let flips = 0; flips < 6 && bytes.length > 9; flips++) {
      seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff
      bytes[8 + (seed % (bytes.length - 8))] = (seed >> 12) & 0xff
    }
    const { outcome } = await renderFile(bytes, { kind: 'application/pdf' })
    assert.ok(['ready', 'image_corrupt', 'image_not_supported'].includes(outcome), outcome)
  }
})

for (const [name, bytes] of [
  [
    'pages that contain themselves',
    makePdf(['<</Type/Catalog/Pages 2 0 R>>', '<</Type/Pages/Kids[2 0 R]/Count 1>>']),
  ],
  [
    'a number of pages that is not true',
    makePdf(['<</Type/Catalog/Pages 2 0 R>>', '<</Type/Pages/Kids[]/Count 2000000000>>']),
  ],
  [
    'a form that draws itself',
    onePagePdf({
      content: '/A Do',
      page: '/Resources<</XObject<</A 5 0 R>>>>',
      more: [
        pdfStream('/A Do', '/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</A 5 0 R>>>>'),
      ],
    }),
  ],
  ['brackets in brackets', onePagePdf({ content: '['.repeat(100_000) })],
  ['a dictionary in a dictionary', onePagePdf({ page: `/A ${'<</A '.repeat(20_000)}` })],
  [
    'an image of a terapixel',
    onePagePdf({
      content: '200 0 0 100 0 0 cm /I Do',
      page: '/Resources<</XObject<</I 5 0 R>>>>',
      more: [
        pdfStream(
          'x',
          '/Type/XObject/Subtype/Image/Width 1000000/Height 1000000/BitsPerComponent 8/ColorSpace/DeviceRGB',
        ),
      ],
    }),
  ],
] as const) {
  test(`a PDF with ${name} ends in an outcome`, async () => {
    const { outcome } = await renderFile(bytes)
    assert.ok(['ready', 'image_corrupt', 'poison_file'].includes(outcome), outcome)
  })
}

test.run()
