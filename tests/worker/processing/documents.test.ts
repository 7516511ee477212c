import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { makePdf, onePagePdf, pdfQuarters, pdfStream } from '../support/pdf-builder.ts'
import { makeFujifilmRaw } from '../support/raw-builder.ts'
import { quarters, samplePicture } from '../support/sample-images.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('documents and raw files')
const maxImageBytes = 200_000
let fleet: WorkerFleet

test.before(async () => {
  fleet = await startWorkerFleet({ environment: { MAX_IMAGE_BYTES: String(maxImageBytes) } })
  await fleet.startWorker()
})
test.after(() => fleet.close())

test('a PDF becomes ready with its pages counted and variants of its first page', async () => {
  const pdf = makePdf([
    '<</Type/Catalog/Pages 2 0 R>>',
    '<</Type/Pages/Kids[3 0 R 5 0 R 5 0 R]/Count 3/MediaBox[0 0 595.28 841.89]>>',
    '<</Type/Page/Parent 2 0 R/Contents 4 0 R>>',
    pdfStream(pdfQuarters(595, 842)),
    '<</Type/Page/Parent 2 0 R>>',
  ])
  const { state, findings, variants } = await fleet.finished(await fleet.arrive(pdf))
  assert.is(state, 'ready')
  const { detectedType, width, height, pages, warnings } = findings
  assert.equal([detectedType, width, height, pages, warnings], ['application/pdf', 595, 842, 3, undefined])
  assert.equal(
    variants.map((variant) => `${variant.name} ${variant.width}×${variant.height}`),
    ['w1920 1920×2717', 'w960 960×1359', 'w320 320×453', 'thumbnail 200×200'],
  )
  assert.is(await quarters(await fleet.object(variants[2]?.key ?? '')), 'red green blue yellow')
})

test('an SVG becomes ready with variants in the size of their boxes', async () => {
  const svg = Buffer.from(
    '<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24" onload="alert(1)"><rect width="9" height="9"/></svg>',
  )
  const { state, findings, variants } = await fleet.finished(await fleet.arrive(svg))
  assert.equal(
    [state, findings.detectedType, findings.width, findings.height],
    ['ready', 'image/svg+xml', 24, 24],
  )
  assert.equal(
    variants.map(({ width, height }) => `${width}×${height}`),
    ['1920×1920', '960×960', '320×320', '200×200'],
  )
})

const hex = '00'.repeat(32)
const protectedPdf = onePagePdf({
  more: [`<</Filter/Standard/V 1/R 2/P -4/O<${hex}>/U<${hex}>>>`],
  trailer: `/Encrypt 5 0 R/ID[<${hex}><${hex}>]`,
})
for (const [name, make, warning] of [
  ['a PDF with a password', () => protectedPdf, /protected by a password/],
  [
    'a PDF that is larger than the limit for images',
    () => onePagePdf({ content: `${pdfQuarters(200, 100)}${' '.repeat(maxImageBytes)}` }),
    /^The image file has \d+ bytes; the limit for images is 200000\.$/,
  ],
  [
    'a raw file with a small preview only',
    async () => makeFujifilmRaw({ preview: await samplePicture(640, 480).jpeg().toBuffer() }),
    /^The RAF raw file has no embedded preview of 1000 pixels or half of its own size/,
  ],
] as const) {
  test(`${name} becomes ready without variants, with a warning`, async () => {
    const bytes = await make()
    const { state, findings, variants } = await fleet.finished(await fleet.arrive(bytes))
    assert.equal([state, variants, findings.warnings?.length], ['ready', [], 1])
    assert.match(findings.warnings?.[0] ?? '', warning)
    assert.is(findings.sha256?.length, 64)
  })
}

test('a PDF of which no page opens is rejected as damaged', async () => {
  const { state, error } = await fleet.finished(await fleet.arrive(onePagePdf().subarray(0, 150)))
  assert.equal([state, error?.code], ['rejected', 'image_corrupt'])
})

test.run()
