import { deflateRawSync } from 'node:zlib'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { detectType, typeHeadBytes } from '@millrace/worker/types/detect-type.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { detectFile } from '../support/detect-file.ts'
import {
  box,
  compoundFile,
  contentTypes,
  element,
  fileTypeBox,
  heifFile,
  matroskaFile,
  mp4File,
  tiffFile,
  zipFile,
} from '../support/sample-containers.ts'
import { sampleImage } from '../support/sample-images.ts'

const test = suite('types of hostile files')
const maxRanges = 16
const maxBytes = 1024 * 1024

/** Detects the type, and checks that detection kept its limits. */
async function detectWithinLimits(bytes: Buffer, label = ''): Promise<string | undefined> {
  const { found, ranges } = await detectFile(bytes)
  assert.is(ranges.length <= maxRanges, true, `${label}: ${ranges.length} ranges`)
  const read = ranges.reduce((sum, [start, end]) => sum + end - start, 0)
  assert.is(read <= maxBytes, true, `${label}: ${read} bytes`)
  return found?.mediaType
}

function u32be(value: number): Buffer {
  const buffer = Buffer.alloc(4)
  buffer.writeUInt32BE(value)
  return buffer
}

test('ZIP files that claim too much are ZIP files', async () => {
  const good = zipFile([['a', 'b'.repeat(10_000)]], { isStored: true })
  const at = good.length - 22
  for (const [bytes, offset] of [
    [0xffffffff, 0xffffffff],
    [0xfffffffe, 0],
    [0x7fffffff, good.length - 10],
    [0, 0xfffffff0],
  ] as const) {
    const file = Buffer.from(good)
    file.writeUInt32LE(bytes, at + 12)
    file.writeUInt32LE(offset, at + 16)
    assert.is(await detectWithinLimits(file), 'application/zip')
  }
})

test('a ZIP file whose content types inflate to hundreds of megabytes is a ZIP file', async () => {
  const types = contentTypes('/a', 'application/vnd.ms-excel.main+xml')
  const bomb = Buffer.alloc(40_000_000, ' ')
  assert.is(deflateRawSync(bomb).length < 100_000, true)
  const file = zipFile([
    ['a', 'a'],
    [types[0], Buffer.concat([bomb, Buffer.from(types[1])])],
  ])
  assert.is(await detectWithinLimits(file), 'application/zip')
})

test('a ZIP file with many entries is read within the limits', async () => {
  const file = zipFile(
    Array.from({ length: 20_000 }, (_, i): [string, string] => [`entry-with-a-name-${i}`, '']),
    { isStored: true },
  )
  assert.is(await detectWithinLimits(file), 'application/zip')
})

test('compound files with loops are compound files', async () => {
  const loop = compoundFile([
    { name: 'a', left: 2, right: 1 },
    { name: 'b', left: 1, right: 2, child: 0 },
  ])
  assert.is(await detectWithinLimits(loop), 'application/x-cfb')
  const chain = compoundFile(
    Array.from({ length: 8 }, (_, i) => ({ name: `n${i}`, left: i + 2, right: 100_000 })),
    { paddingBytes: 50 * 512 },
  )
  // The FAT's chain of the directory leads back to its first sector.
  chain.writeUInt32LE(51, 512 + 52 * 4)
  assert.is(await detectWithinLimits(chain), 'application/x-cfb')
  const scattered = compoundFile(
    Array.from({ length: 250 }, (_, i) => ({ name: `n${i}`, left: i + 2 })),
    { sectorBytes: 4096 },
  )
  // Each sector of the directory is said to be far from the others.
  for (let i = 0; i < 900; i++) scattered.writeUInt32LE((i * 97) % 900, 4096 + i * 4)
  await detectWithinLimits(Buffer.concat([scattered, Buffer.alloc(4_000_000, 'n')]))
})

test('ISO files with boxes of impossible sizes have the type of their brand', async () => {
  const brand = fileTypeBox('isom')
  const long = (size: bigint) => {
    const bytes = Buffer.alloc(8)
    bytes.writeBigUInt64BE(size)
    return Buffer.concat([u32be(1), Buffer.from('moov'), bytes])
  }
  const tails: Buffer[] = [
    Buffer.concat([u32be(0), Buffer.from('moov')]),
    Buffer.concat([u32be(7), Buffer.from('moov')]),
    Buffer.concat([u32be(0xffffffff), Buffer.from('trak')]),
    long(0n),
    long(15n),
    long(2n ** 63n),
    long(2n ** 64n - 1n),
    Buffer.alloc(8 * 200_000, box('free')),
    Array.from({ length: 3000 }).reduce((inner: Buffer) => box('moov', inner), Buffer.alloc(0)),
    box('moov', ...Array.from({ length: 60 }, () => box('trak', Buffer.alloc(30_000)))),
  ]
  for (const [i, tail] of tails.entries()) {
    assert.is(await detectWithinLimits(Buffer.concat([brand, tail]), `tail ${i}`), 'video/mp4')
  }
  const items = box(
    'meta',
    u32be(0),
    box('iinf', u32be(0), Buffer.from([255, 255]), ...Array(5000).fill(box('infe'))),
  )
  assert.is(await detectWithinLimits(Buffer.concat([fileTypeBox('mif1'), items])), 'image/heif')
})

test('deeply nested, endless and empty EBML elements keep the limits', async () => {
  const nested = Array.from({ length: 2000 }).reduce(
    (inner: Buffer) => element('1654ae6b', inner),
    Buffer.from([0x83, 0x81, 2]),
  )
  const head = element('1a45dfa3', element('4282', Buffer.from('webm')))
  const segments = [
    element('18538067', nested),
    element('18538067', Buffer.alloc(500_000, Buffer.from([0xec, 0x80]))),
    element('18538067', Buffer.alloc(100)),
    Buffer.concat([Buffer.from('1853806708ffffffffffffff', 'hex'), Buffer.alloc(100, 0xff)]),
    element(
      '18538067',
      element('1654ae6b', ...Array.from({ length: 100 }, () => element('ae', Buffer.alloc(40_000, 0x80)))),
    ),
  ]
  for (const [i, segment] of segments.entries()) {
    assert.is(await detectWithinLimits(Buffer.concat([head, segment]), `segment ${i}`), 'video/webm')
  }
})

test('TIFF files with impossible directories are TIFF files', async () => {
  const raw = { 271: 'SONY', 262: 2 }
  const loop = tiffFile(raw, { subDirectories: Array.from({ length: 300 }, () => ({ 262: 1 })) })
  assert.is(await detectWithinLimits(loop), 'image/tiff')
  for (const offset of [0, 1, 0xffffffff]) {
    const file = tiffFile(raw)
    file.writeUInt32LE(offset, 4)
    assert.is(await detectWithinLimits(file), 'image/tiff')
  }
})

test('XML with bombs and endless parts is XML or text', async () => {
  const entities = Array.from({ length: 50 }, (_, i) => `<!ENTITY a${i + 1} "${`&a${i};`.repeat(50)}">`)
  const parts = [
    '<!--',
    '<?a ',
    '"',
    "'",
    '[',
    '<',
    '<!ENTITY',
    ']]',
    '<a ',
    '&a;',
    'a=',
    '<!DOCTYPE a [',
    '  ',
  ]
  const files = [
    `<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a0 "a">${entities.join('')}]><a>&a50;</a>`,
    ...parts.map((part) => `<?xml version="1.0"?><!DOCTYPE a [${part.repeat(100_000)}`),
    ...parts.map((part) => `<?xml version="1.0"?>${part.repeat(100_000)}`),
    ...parts.map((part) => `<svg${part.repeat(100_000)}`),
    ...parts.map((part) => `{"a": [${part.repeat(1000)}`),
    '[{'.repeat(100_000),
    '['.repeat(100_000),
    '"a",'.repeat(100_000),
    'a,"'.repeat(100_000),
  ]
  for (const [i, file] of files.entries()) {
    const type = await detectWithinLimits(Buffer.from(file), `file ${i}`)
    assert.is(
      type === undefined || /^(application\/xml|text\/.*|image\/svg\+xml)$/.test(type),
      true,
      `${i} ${type}`,
    )
  }
})

test('an error of S3 during a range ends the detection', async () => {
  const bytes = zipFile([['a', Buffer.alloc(50_000, 'x')]], { isStored: true })
  const fault = new AppError('dependency_unavailable')
  const source = {
    size: bytes.length,
    head: bytes.subarray(0, typeHeadBytes),
    readRange: async () => {
      throw fault
    },
  }
  const thrown = await detectType(source).catch((error: unknown) => error)
  assert.is(thrown, fault)
})

test('a range that S3 delivers in part leaves the type undecided, and nothing else', async () => {
  const bytes = mp4File(['soun'], { isMovieLast: true, mediaBytes: 50_000 })
  const head = bytes.subarray(0, typeHeadBytes)
  const found = await detectType({ size: bytes.length, head, readRange: async () => Buffer.alloc(3) })
  assert.is(found?.mediaType, 'video/mp4')
})

test('damaged and cut files of all kinds keep the limits and throw nothing', async () => {
  const types = contentTypes('/word/document.xml', 'application/vnd.ms-word.document.macroEnabled.main+xml')
  const png = await sampleImage('image/png')
  const samples = [
    zipFile([['a', Buffer.alloc(5000, 'ab')], types], { isStored: true }),
    zipFile([types, ['word/document.xml', 'x']]),
    zipFile([['mimetype', 'application/epub+zip'], types], { isStreamed: true }),
    compoundFile([{ name: 'a', left: 2 }, { name: 'WordDocument' }], { paddingBytes: 10 * 512 }),
    compoundFile([{ name: 'Workbook' }]),
    mp4File(['soun', 'text'], { isMovieLast: true, mediaBytes: 6000 }),
    mp4File(['vide'], { brand: '3gp5' }),
    matroskaFile('webm', [2, 17], { voidBytes: 5000 }),
    matroskaFile('matroska', [1]),
    heifFile(['mif1'], ['grid', 'hvc1']),
    heifFile(['msf1', 'avis', 'hevc'], ['av01']),
    tiffFile({ 271: 'NIKON' }, { subDirectories: [{ 259: 34713 }, { 262: 32803 }], directoryAt: 5000 }),
    tiffFile({ 50706: 1, 271: 'X' }),
    png.subarray(0, 6000),
    (await sampleImage('image/jpeg')).subarray(0, 1000),
    (await sampleImage('image/gif')).subarray(0, 1000),
    Buffer.from(
      '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "b">]><svg xmlns="http://www.w3.org/2000/svg"/>',
    ),
    Buffer.from('a,b,c\n1,"2",3\n4,5,6\n'.repeat(300)),
    Buffer.from('{"a":[1,2,{"b":null}]}'),
    Buffer.from('\ufeffGröße', 'utf16le'),
    Buffer.from('ID3\x04\0\0\0\0\0\x14'.padEnd(400, '\0'), 'latin1'),
    Buffer.from('junk\n%PDF-1.7\nstartxref\n9\n%%EOF\n'),
    Buffer.from('ff0afa1f41920843c00f'.padEnd(200, '0'), 'hex'),
    Buffer.from('BM'.padEnd(100, '\0')),
    Buffer.from('0b770000144043'.padEnd(400, '0'), 'hex'),
    Buffer.from('!<arch>\ndebian-binary   '.padEnd(200)),
    Buffer.from('3026b2758e66cf11a6d900aa0062ce6c'.padEnd(2000, '1'), 'hex'),
    Buffer.from('\0\0\0\fjP  \r\n\x87\n'.padEnd(100, '\0'), 'latin1'),
    Buffer.from('\x04\0\0\0\x40\0\0\0\x3c\0\0\0\x20\0\0\0{"files":{}}'.padEnd(100), 'latin1'),
  ]
  let state = 12
  const random = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  for (let round = 0; round < 4000; round++) {
    const sample = samples[round % samples.length]
    if (!sample) continue
    const cut = round % 3 === 0 ? random(sample.length) : sample.length
    const file = Buffer.from(sample.subarray(0, cut))
    for (let flips = random(6); flips > 0 && file.length > 0; flips--) {
      // Mostly in the structure, which is at the start or the end.
      const near = Math.min(file.length, 200)
      const at = [random(near), file.length - 1 - random(near), random(file.length)][random(3)] ?? 0
      file[at] = [random(256), 0, 255, file.readUInt8(at) ^ (1 << random(8))][random(4)] ?? 0
    }
    await detectWithinLimits(file, `round ${round}`)
  }
})

test.run()
