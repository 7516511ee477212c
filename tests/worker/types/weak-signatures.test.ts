import { gzipSync } from 'node:zlib'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { detectFile, typeOf } from '../support/detect-file.ts'

const test = suite('weak signatures')

function randomBytes(length: number, seed: number): Buffer {
  let state = seed
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state >>> 24
  }
  return Buffer.from(Array.from({ length }, next))
}

/** Starts that file-type takes for a type, each followed by something else. */
const weakStarts = [
  'BM',
  '\x0bw',
  'x\x01',
  'MZ',
  '%!',
  '\x1f\xa0',
  '\x1f\x9d',
  '\xc7q',
  '`\xea',
  'GIF',
  'II\xbc',
  '\x1f\x8b\x08',
  'BZh',
  'ID3',
  'MP+',
  'CWS',
  'FWS',
  'FORM',
  'solid ',
  '\xff\xfb',
  '\xff\xf3',
  '\xff\xf1',
  '\xff\xff',
  '\0\0\x01\0',
  '\0\0\x02\0',
  '\0\x01\0\0\0',
]
test('random bytes after a weak signature have no type', async () => {
  const mistaken: string[] = []
  for (const start of weakStarts) {
    for (let seed = 1; seed <= 40; seed++) {
      const file = Buffer.concat([Buffer.from(start, 'latin1'), randomBytes(6000, seed)])
      const type = await typeOf(file)
      if (type !== undefined) mistaken.push(`${JSON.stringify(start)} ${seed} ${type}`)
    }
  }
  assert.equal(mistaken, [])
})

test('random bytes with a sync byte of a transport stream at two places have no type', async () => {
  for (const [first, second] of [
    [0, 188],
    [4, 196],
  ] as const) {
    const file = randomBytes(6000, 5)
    file[first] = 0x47
    file[second] = 0x47
    assert.is(await typeOf(file), undefined)
  }
})

const signaturesInText = [
  ...weakStarts.filter((start) => /^[\x20-\x7e]+$/.test(start)),
  'GIF89a',
  'AC1015',
  'The free',
  'The moov',
  'The mdat',
  'The ftypisom',
  '%PD',
  'RIFF size AVI ',
  '8BPS',
  'FLIF',
  'MAC ',
  'PAR1',
  'icns',
  'DSD ',
  'LZIP',
  'MPCK',
  'BLENDER',
  'OggS',
  'fLaC',
  'MThd',
  'regf',
  'Rar!',
  `G${'x'.repeat(187)}G`,
]
test('a text that begins with a signature is text, in UTF-8, with a byte order mark, and in Latin-1', async () => {
  const mistaken: string[] = []
  for (const start of signaturesInText) {
    for (const mark of ['', '\ufeff']) {
      const type = await typeOf(`${mark}${start} is how this text begins. Größe.\n`.repeat(20))
      if (type !== 'text/plain') mistaken.push(`${JSON.stringify(start)} ${type}`)
    }
    const latin1 = Buffer.from(`${start} is how this text begins. Größe.\n`, 'latin1')
    const type = await typeOf(latin1)
    if (type !== 'text/plain') mistaken.push(`Latin-1 ${JSON.stringify(start)} ${type}`)
  }
  assert.equal(mistaken, [])
})

test('a JPEG whose head is a long comment is a JPEG', async () => {
  const comment = Buffer.alloc(65_537, 'c')
  comment.set([0xff, 0xfe, 0xff, 0xff])
  const jpeg = Buffer.concat([Buffer.from([0xff, 0xd8]), comment, Buffer.from([0xff, 0xdb, 0, 67])])
  assert.is(await typeOf(jpeg), 'image/jpeg')
})

test('a text format keeps its type', async () => {
  const cases: [string, string][] = [
    ['%!PS-Adobe-3.0\n%%Pages: 1\n', 'application/postscript'],
    ['{\\rtf1\\ansi hello}', 'application/rtf'],
    ['BEGIN:VCARD\nVERSION:4.0\nEND:VCARD\n', 'text/vcard'],
    ['BEGIN:VCALENDAR\nEND:VCALENDAR\n', 'text/calendar'],
    ['WEBVTT\n\n00:00.000 --> 00:01.000\nhello\n', 'text/vtt'],
    ['%PDF-1.4\n1 0 obj\n<<>>\nendobj\n', 'application/pdf'],
    ['solid cube\n facet normal 0 0 1\n endfacet\nendsolid cube\n', 'model/stl'],
  ]
  for (const [text, mediaType] of cases) {
    assert.equal((await detectFile(Buffer.from(text))).found, { mediaType, foundBy: 'signature' })
  }
})

test('TGA and GD files are not taken for an icon, sound or text', async () => {
  const tga = (type: number) => {
    const header = Buffer.from([0, 0, type, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 48, 0, 24, 0])
    return Buffer.concat([header, randomBytes(64 * 48 * 3, 3)])
  }
  assert.is(await typeOf(tga(2)), undefined)
  assert.is(await typeOf(tga(10)), undefined)
  assert.is(await typeOf(tga(1)), undefined)
  assert.is(
    await typeOf(Buffer.concat([tga(2), Buffer.from('\0\0\0\0\0\0\0\0TRUEVISION-XFILE.\0')])),
    undefined,
  )
  const grey = Buffer.concat([tga(3).subarray(0, 18), Buffer.alloc(64 * 48, 0x80)])
  assert.is(await typeOf(grey), undefined)

  const size = [0, 64, 0, 48]
  const trueColour = Buffer.from([0xff, 0xfe, ...size, 1, 0xff, 0xff, 0xff, 0xff])
  const pixels = Buffer.alloc(64 * 48 * 4, Buffer.from([0, 200, 100, 50]))
  assert.is(await typeOf(Buffer.concat([trueColour, pixels])), undefined)
  const palette = Buffer.from([0xff, 0xff, ...size, 0, 0, 2, 0xff, 0xff, 0xff, 0xff])
  assert.is(await typeOf(Buffer.concat([palette, Buffer.alloc(1024), Buffer.alloc(64 * 48, 1)])), undefined)
  assert.is(await typeOf(Buffer.from('gd2\0'.padEnd(400, '\x01'))), undefined)
})

function le(bytes: number, value: number): Buffer {
  const buffer = Buffer.alloc(bytes)
  buffer.writeUIntLE(value, 0, bytes)
  return buffer
}

test('genuine files with weak signatures keep their types', async () => {
  const bmp = (headerBytes: number) =>
    Buffer.concat([
      Buffer.from('BM'),
      le(4, 200),
      le(4, 0),
      le(4, 14 + headerBytes),
      le(4, headerBytes),
      ...(headerBytes === 12 ? [le(2, 4), le(2, 4)] : [le(4, 4), le(4, 4)]),
      le(2, 1),
      le(2, 24),
      Buffer.alloc(200),
    ])
  const icon = (type: number) =>
    Buffer.concat([
      Buffer.from([0, 0, type, 0, 1, 0, 16, 16, 0, 0, 1, 0, 32, 0]),
      le(4, 1000),
      le(4, 22),
      Buffer.alloc(1000),
    ])
  // 128 kbit/s at 44.1 kHz: frames of 417 bytes.
  const mp3Frame = Buffer.alloc(417)
  mp3Frame.write('fffb9000', 'hex')
  const aacFrame = Buffer.alloc(200)
  aacFrame.write('fff1508019', 'hex')
  aacFrame.writeUInt8(0x1f, 5)
  // 192 kbit/s at 48 kHz: frames of 768 bytes.
  const ac3Frame = Buffer.alloc(768)
  ac3Frame.write('0b770000144043', 'hex')
  const packet = Buffer.alloc(188)
  packet[0] = 0x47
  const repeat = (part: Buffer) => Buffer.concat(Array.from({ length: 12 }, () => part))
  const font = Buffer.concat([
    Buffer.from('00010000000a008000030020', 'hex'),
    Buffer.from('OS/2'),
    Buffer.alloc(300),
  ])
  const executable = Buffer.alloc(1024)
  executable.write('MZ\x90\0\x03')
  executable.writeUInt32LE(128, 60)
  executable.write('PE\0\0', 128)
  const id3 = (size: number, ...rest: Buffer[]) =>
    Buffer.concat([
      Buffer.from([0x49, 0x44, 0x33, 4, 0, 0, 0, 0, size >> 7, size & 127]),
      Buffer.alloc(size),
      ...rest,
    ])
  const tar = Buffer.alloc(1024)
  tar.write('BMW/car.txt')
  tar.write('ustar\x0000', 257, 'latin1')
  const cases: [string, Buffer, string][] = [
    ['BMP', bmp(40), 'image/bmp'],
    ['BMP of OS/2', bmp(12), 'image/bmp'],
    ['BMP with alpha', bmp(124), 'image/bmp'],
    ['icon', icon(1), 'image/x-icon'],
    ['cursor', icon(2), 'image/x-icon'],
    [
      'JPEG XL',
      Buffer.concat([Buffer.from('ff0afa1f41920843c00f', 'hex'), randomBytes(500, 2)]),
      'image/jxl',
    ],
    ['MP3', repeat(mp3Frame), 'audio/mpeg'],
    ['MP3 with a tag', id3(300, repeat(mp3Frame)), 'audio/mpeg'],
    ['MP3 with a long tag', id3(16_000, repeat(mp3Frame)), 'audio/mpeg'],
    ['MP3 with a tag and padding', id3(300, Buffer.alloc(50), repeat(mp3Frame)), 'audio/mpeg'],
    ['FLAC with a tag', id3(300, Buffer.from('fLaC\0\0\0\x22')), 'audio/flac'],
    ['AAC', repeat(aacFrame), 'audio/aac'],
    ['AAC with a tag', id3(300, repeat(aacFrame)), 'audio/aac'],
    ['AC-3', repeat(ac3Frame), 'audio/vnd.dolby.dd-raw'],
    ['transport stream', repeat(packet), 'video/mp2t'],
    ['TrueType', font, 'font/ttf'],
    ['executable', executable, 'application/x-msdownload'],
    ['gzip', gzipSync('hello'), 'application/gzip'],
    ['bzip2', Buffer.from('425a68393141592653590123456789', 'hex'), 'application/x-bzip2'],
    ['AIFF', Buffer.from('FORM\0\0\x10\0AIFFCOMM\0\0\0\x12'), 'audio/aiff'],
    ['tar with a name that begins like a BMP', tar, 'application/x-tar'],
    ['Opus', Buffer.from(`OggS${'\0'.repeat(24)}OpusHead${'\0'.repeat(20)}`), 'audio/ogg'],
    ['MPEG program stream', Buffer.from('000001ba44000400', 'hex'), 'video/mpeg'],
  ]
  for (const [name, bytes, mediaType] of cases) assert.is(await typeOf(bytes), mediaType, name)
})

test('an IFF file that is not AIFF is not audio', async () => {
  assert.is(await typeOf(Buffer.from('FORM\0\0\x10\0ILBMBMHD\0\0\0\x14')), undefined)
})

test.run()
