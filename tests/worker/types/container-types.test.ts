import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { detectFile, typeOf } from '../support/detect-file.ts'
import {
  box,
  compoundFile,
  contentTypes,
  fileTypeBox,
  heifFile,
  matroskaFile,
  mp4File,
  tiffFile,
  zipFile,
} from '../support/sample-containers.ts'
import { sampleImage } from '../support/sample-images.ts'

const test = suite('types of containers')
const ooxml = 'application/vnd.openxmlformats-officedocument'
/** Random, so that it is not compressed away. */
const picture = Buffer.from(Array.from({ length: 20_000 }, (_, i) => (Math.imul(i, 2654435761) >>> 13) & 255))

const officeFiles: [part: string, mainType: string, mediaType: string][] = [
  ['/word/document.xml', `${ooxml}.wordprocessingml.document.main+xml`, `${ooxml}.wordprocessingml.document`],
  ['/xl/workbook.xml', `${ooxml}.spreadsheetml.sheet.main+xml`, `${ooxml}.spreadsheetml.sheet`],
  [
    '/ppt/presentation.xml',
    `${ooxml}.presentationml.presentation.main+xml`,
    `${ooxml}.presentationml.presentation`,
  ],
  [
    '/word/document.xml',
    'application/vnd.ms-word.document.macroEnabled.main+xml',
    'application/vnd.ms-word.document.macroenabled.12',
  ],
  [
    '/xl/workbook.bin',
    'application/vnd.ms-excel.sheet.binary.macroEnabled.main',
    'application/vnd.ms-excel.sheet.binary.macroenabled.12',
  ],
  ['/visio/document.xml', 'application/vnd.ms-visio.drawing.main+xml', 'application/vnd.visio'],
]
for (const [part, mainType, mediaType] of officeFiles) {
  test(`${mediaType} is detected whatever the order of entries`, async () => {
    const types = contentTypes(part, mainType)
    const others: [string, Buffer][] = [
      ['docProps/app.xml', Buffer.from('<Properties/>')],
      [part.slice(1), Buffer.from('<document/>')],
      ['word/media/image1.png', picture],
    ]
    assert.is(await typeOf(zipFile([types, ...others])), mediaType)
    assert.is(await typeOf(zipFile([...others, types])), mediaType)
    assert.is(await typeOf(zipFile([...others, types], { comment: 'made by '.repeat(900) })), mediaType)
    assert.is(await typeOf(zipFile([types, ...others], { isStreamed: true })), mediaType)
    assert.is(await typeOf(zipFile([...others, types], { isStored: true })), mediaType)
  })
}

test('OpenDocument and EPUB files are detected by their entry mimetype, also if it is not the first', async () => {
  for (const mediaType of [
    'application/vnd.oasis.opendocument.text',
    'application/vnd.oasis.opendocument.spreadsheet',
    'application/vnd.oasis.opendocument.presentation',
    'application/epub+zip',
  ]) {
    const files: [string, Buffer][] = [['Pictures/1.png', picture]]
    const first = await detectFile(zipFile([['mimetype', mediaType], ...files]))
    assert.equal([first.found, first.ranges], [{ mediaType, foundBy: 'container' }, []])
    assert.is(await typeOf(zipFile([...files, ['mimetype', mediaType]])), mediaType)
  }
})

test('Java archives, Android packages and plain ZIP files are told apart by their entries', async () => {
  const manifest: [string, string] = ['META-INF/MANIFEST.MF', 'Manifest-Version: 1.0']
  const android: [string, string] = ['AndroidManifest.xml', '']
  assert.is(await typeOf(zipFile([['a.bin', picture], manifest])), 'application/java-archive')
  assert.is(
    await typeOf(zipFile([manifest, ['a.bin', picture], android])),
    'application/vnd.android.package-archive',
  )
  assert.is(
    await typeOf(
      zipFile([
        ['a.bin', picture],
        ['word/document.txt', 'no document'],
      ]),
    ),
    'application/zip',
  )
  assert.is(await typeOf(zipFile([['mimetype', 'text/html']])), 'application/zip')
})

test('a ZIP file is an Office file only by its own content types, not by those of a file in it', async () => {
  const inner = zipFile([contentTypes('/word/document.xml', `${ooxml}.wordprocessingml.document.main+xml`)])
  assert.is(await typeOf(zipFile([['report.docx', inner]], { isStored: true })), 'application/zip')
})

const compoundFiles: [name: string, mediaType: string][] = [
  ['WordDocument', 'application/msword'],
  ['Workbook', 'application/vnd.ms-excel'],
  ['Book', 'application/vnd.ms-excel'],
  ['PowerPoint Document', 'application/vnd.ms-powerpoint'],
  ['__properties_version1.0', 'application/vnd.ms-outlook'],
  ['Contents', 'application/x-cfb'],
]
for (const [name, mediaType] of compoundFiles) {
  test(`a compound file with ${name} is ${mediaType}`, async () => {
    const entries = [{ name: 'x', left: 2, right: 3 }, { name: '\x05SummaryInformation' }, { name }]
    for (const sectorBytes of [512, 4096]) {
      assert.is(await typeOf(compoundFile(entries, { sectorBytes })), mediaType)
      const far = await detectFile(compoundFile(entries, { sectorBytes, paddingBytes: sectorBytes * 100 }))
      assert.equal([far.found, far.ranges.length], [{ mediaType, foundBy: 'container' }, 1])
    }
  })
}

test('a compound file is detected by the class of its root', async () => {
  const classes: [string, string][] = [
    ['0609020000000000c000000000000046', 'application/msword'],
    ['2008020000000000c000000000000046', 'application/vnd.ms-excel'],
    ['108d81649b4fcf1186ea00aa00b929e8', 'application/vnd.ms-powerpoint'],
    ['84100c0000000000c000000000000046', 'application/x-msi'],
  ]
  for (const [classId, mediaType] of classes) {
    assert.is(await typeOf(compoundFile([{ name: '䡀䄕䑸' }], { classId })), mediaType)
  }
})

test('a workbook within a Word document does not make it a workbook', async () => {
  const entries = [
    { name: 'ObjectPool', right: 3, child: 2, isStorage: true },
    { name: 'Workbook' },
    { name: 'WordDocument' },
  ]
  assert.is(await typeOf(compoundFile(entries)), 'application/msword')
})

test('an MP4 file without a picture track is audio, wherever its track list is', async () => {
  const cases: [handlers: string[], brand: string, mediaType: string][] = [
    [['vide', 'soun'], 'isom', 'video/mp4'],
    [['soun', 'vide'], 'mp42', 'video/mp4'],
    [['soun'], 'isom', 'audio/mp4'],
    [['soun', 'text'], 'dash', 'audio/mp4'],
    [['soun'], '3gp5', 'audio/3gpp'],
    [['soun'], 'M4A ', 'audio/x-m4a'],
    [['vide'], '3gp5', 'video/3gpp'],
    [['text'], 'isom', 'video/mp4'],
    [[], 'isom', 'video/mp4'],
  ]
  for (const [handlers, brand, mediaType] of cases) {
    for (const options of [{}, { tableBytes: 50_000 }, { isMovieLast: true, mediaBytes: 100_000 }]) {
      const { found, ranges } = await detectFile(mp4File(handlers, { brand, ...options }))
      assert.is(found?.mediaType, mediaType, `${handlers} ${brand} ${JSON.stringify(options)}`)
      assert.is(ranges.length <= 3, true)
    }
  }
  assert.equal((await detectFile(mp4File(['vide', 'soun'], { mediaBytes: 50_000 }))).ranges, [])
})

test('an MP4 file cut before its track list is video', async () => {
  const file = mp4File(['soun'], { isMovieLast: true, mediaBytes: 100_000 })
  assert.is(await typeOf(file.subarray(0, 50_000)), 'video/mp4')
})

test('a WebM or Matroska file without a video track is audio', async () => {
  const cases: ['webm' | 'matroska', number[], string][] = [
    ['webm', [1, 2], 'video/webm'],
    ['webm', [2], 'audio/webm'],
    ['matroska', [2, 17], 'audio/matroska'],
    ['matroska', [2, 1], 'video/matroska'],
    ['webm', [], 'video/webm'],
  ]
  for (const [docType, tracks, mediaType] of cases) {
    for (const voidBytes of [0, 4096, 40_000]) {
      const { found, ranges } = await detectFile(matroskaFile(docType, tracks, { voidBytes }))
      assert.equal(found, { mediaType, foundBy: 'container' })
      assert.is(ranges.length <= 1, true)
    }
  }
})

test('a WebM file as a browser records it, with a segment and clusters of unknown size, is detected', async () => {
  const file = matroskaFile('webm', [2])
  const segmentAt = file.indexOf(Buffer.from('18538067', 'hex'))
  file.write('01ffffffffffffff', segmentAt + 4, 'hex')
  assert.is(await typeOf(file), 'audio/webm')
})

test('HEIF files are AVIF or HEIC by their brands, or by their items if the brands do not say', async () => {
  const cases: [brands: string[], items: string[], mediaType: string][] = [
    [['avif', 'mif1', 'miaf'], ['av01'], 'image/avif'],
    [['avis', 'msf1'], ['av01'], 'image/avif'],
    [['mif1', 'avif', 'miaf', 'MA1B'], ['av01'], 'image/avif'],
    [['mif1', 'miaf', 'MA1B'], ['av01'], 'image/avif'],
    [['msf1', 'avis'], [], 'image/avif'],
    [['miaf', 'MA1A'], ['av01'], 'image/avif'],
    [['mif1', 'heic'], ['hvc1'], 'image/heic'],
    [['heix', 'mif1'], ['grid', 'hvc1'], 'image/heic'],
    [['hevc', 'msf1'], ['hvc1'], 'image/heic'],
    [['heim'], ['hvc1'], 'image/heic'],
    [['msf1', 'hevc'], [], 'image/heic'],
    [['mif1'], ['av01'], 'image/avif'],
    [['mif1', 'miaf'], ['hvc1'], 'image/heic'],
    [['mif1'], ['grid', 'av01', 'av01'], 'image/avif'],
    [['mif1', 'avif', 'heic'], ['hvc1', 'av01'], 'image/heic'],
    [['mif1'], ['jpeg'], 'image/heif'],
    [['mif1'], [], 'image/heif'],
  ]
  for (const [brands, items, mediaType] of cases) {
    const { found, ranges } = await detectFile(heifFile(brands, items))
    assert.equal(found, { mediaType, foundBy: 'container' }, `${brands} ${items}`)
    assert.equal(ranges, [])
  }
})

test('a HEIF sequence with general brands is detected by its track', async () => {
  const entries = box('stsd', Buffer.alloc(4), Buffer.from([0, 0, 0, 1]), box('av01', Buffer.alloc(78)))
  const file = Buffer.concat([
    fileTypeBox('msf1', 'miaf'),
    box('moov', box('trak', box('mdia', box('minf', box('stbl', entries))))),
  ])
  assert.is(await typeOf(file), 'image/avif')
})

test("an ordinary TIFF with a maker's tags is TIFF", async () => {
  const tags = { 256: 10, 257: 10, 259: 1, 262: 2 }
  const printImageMatching = 50341
  const ordinary = [
    tiffFile({ 254: 0, ...tags, 271: 'SONY', 272: 'A scanner', [printImageMatching]: 'PrintIM' }),
    tiffFile({ ...tags, 271: 'Canon', 305: 'Canon CanoScan', 37500: 'maker note' }),
    tiffFile({ ...tags, 271: 'NIKON CORPORATION' }, { subDirectories: [{ 254: 1, 259: 7, 262: 6 }] }),
    tiffFile(tags, { directoryAt: 16, startText: 'CR' }),
    tiffFile({ 254: 0, ...Object.fromEntries(Array.from({ length: 27 }, (_, i) => [256 + i, 1])) }),
    tiffFile(tags, { directoryAt: 50_000 }),
    await sampleImage('image/tiff'),
  ]
  for (const [i, file] of ordinary.entries()) {
    const { found, ranges } = await detectFile(file)
    assert.equal(found, { mediaType: 'image/tiff', foundBy: 'signature' }, `file ${i}`)
    assert.is(ranges.length <= 1, true)
  }
})

test('camera raws based on TIFF are detected by their mark, version or raw data', async () => {
  const preview = { 254: 1, 259: 6, 262: 6 }
  const raw = { 254: 0, 259: 1, 262: 32803 }
  const cases: [Buffer, string][] = [
    [tiffFile(preview, { directoryAt: 16, startText: 'CR\x02\0' }), 'image/x-canon-cr2'],
    [tiffFile({ ...preview, 271: 'Any', 50706: 0x0401 }), 'image/x-adobe-dng'],
    [
      tiffFile({ ...preview, 271: 'NIKON CORPORATION' }, { subDirectories: [preview, raw] }),
      'image/x-nikon-nef',
    ],
    [tiffFile({ ...preview, 271: 'SONY' }, { subDirectories: [raw] }), 'image/x-sony-arw'],
    [tiffFile({ ...raw, 271: 'PENTAX Corporation' }), 'image/x-pentax-pef'],
    [tiffFile({ ...preview, 271: 'SAMSUNG' }, { subDirectories: [{ 259: 32770 }] }), 'image/x-samsung-srw'],
  ]
  for (const [file, mediaType] of cases) {
    assert.equal((await detectFile(file)).found, { mediaType, foundBy: 'container' })
  }
})

test('an animated PNG is detected behind a long chunk', async () => {
  const png = await sampleImage('image/png')
  const chunk = (type: string, bytes: number) => box(type, Buffer.alloc(bytes + 4)).fill(0, 8)
  const withChunks = (...chunks: Buffer[]) => {
    for (const each of chunks) each.writeUInt32BE(each.length - 12)
    return Buffer.concat([png.subarray(0, 33), ...chunks, png.subarray(33)])
  }
  assert.is(await typeOf(withChunks(chunk('iCCP', 30_000), chunk('acTL', 8))), 'image/apng')
  assert.is(await typeOf(withChunks(chunk('iCCP', 30_000))), 'image/png')
})

for (const kind of ['image/jpeg', 'image/png', 'image/webp', 'image/gif', 'image/avif'] as const) {
  test(`${kind} needs no bytes beyond the head`, async () => {
    const bytes = await sampleImage(kind, 900, 600)
    const { found, ranges } = await detectFile(bytes)
    assert.equal([found?.mediaType, ranges], [kind, []])
  })
}

test.run()
