import {
  checkFailedJpeg,
  checkJpeg,
  hasSeveralScans,
  repairJpeg,
} from '@millrace/worker/structure/jpeg-structure.ts'
import { partLimits } from '@millrace/worker/structure/structure.ts'
import sharp from 'sharp'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { repeatedScans } from '../support/odd-images.ts'
import { damaged, samplePicture } from '../support/sample-images.ts'

const test = suite('JPEG structure')

const sequential = () => samplePicture(120, 80).jpeg({ quality: 90 }).toBuffer()
const progressive = () => samplePicture(120, 80).jpeg({ quality: 90, progressive: true }).toBuffer()
const withoutEnd = (file: Buffer) => file.subarray(0, file.length - 2)

/** Decodes a file, failing on every warning. */
async function strictPixels(file: Buffer): Promise<Buffer> {
  return sharp(file, { failOn: 'warning' }).raw().toBuffer()
}

/** Returns where the last segment with this marker begins. */
function lastSegment(file: Buffer, marker: number): number {
  return file.lastIndexOf(Buffer.from([0xff, marker]))
}

function insert(file: Buffer, at: number, bytes: Buffer): Buffer {
  return Buffer.concat([file.subarray(0, at), bytes, file.subarray(at)])
}

test('scans of sequential and progressive JPEGs are counted', async () => {
  assert.equal(checkJpeg(await sequential()), { state: 'whole', parts: { name: 'scans', count: 1 } })
  const { state, parts } = checkJpeg(await progressive())
  assert.is(state, 'whole')
  assert.ok(parts && parts.count > 4 && parts.count < 20, String(parts?.count))
  assert.is(hasSeveralScans(await sequential()), false)
  assert.is(hasSeveralScans(await progressive()), true)
})

test('counting scans stops soon after the limit', async () => {
  const file = repeatedScans(await progressive(), 600)
  assert.equal(checkJpeg(file).parts, { name: 'scans', count: partLimits.scans + 1 })
})

test('a JPEG without its end marker is whole if all scans are there', async () => {
  assert.is(checkJpeg(withoutEnd(await sequential())).state, 'whole')
  assert.is(checkJpeg(withoutEnd(await progressive())).state, 'whole')
})

test('a progressive JPEG that ends between two scans is truncated', async () => {
  const file = await progressive()
  const cut = file.subarray(0, lastSegment(file, 0xda))
  assert.is(checkJpeg(cut).state, 'truncated')
  assert.is(checkJpeg(Buffer.concat([cut, Buffer.from([0xff, 0xd9])])).state, 'whole', 'with an end marker')
})

test('a JPEG that ends in its header is truncated', async () => {
  const file = await sequential()
  assert.is(checkJpeg(file.subarray(0, lastSegment(file, 0xda))).state, 'truncated')
  assert.is(checkJpeg(file.subarray(0, 30)).state, 'truncated')
  assert.is(checkFailedJpeg(file.subarray(0, file.length - 200)).state, 'truncated')
})

test('repairing keeps all pixels of a good JPEG', async () => {
  for (const file of [await sequential(), await progressive()]) {
    assert.equal(await strictPixels(repairJpeg(file)), await strictPixels(file))
  }
})

test('repairing removes oddities that a strict decoder refuses, and keeps all pixels', async () => {
  const file = await sequential()
  const pixels = await strictPixels(file)
  const scan = lastSegment(file, 0xda)
  const oddScan = Buffer.from(file)
  oddScan[scan + 2 + file.readUInt16BE(scan + 2) - 2] = 0
  // JFIF 2.01, and an Adobe segment with an unknown transform.
  const jfif = Buffer.from('\xff\xe0\x00\x10JFIF\x00\x02\x01\x00\x00\x01\x00\x01\x00\x00', 'latin1')
  const adobe = Buffer.from('\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x07', 'latin1')
  const odd = {
    'scan parameters': oddScan,
    'bytes before a scan': insert(file, scan, Buffer.from([1, 2, 3])),
    'bytes before a table': insert(file, lastSegment(file, 0xc4), Buffer.from([1, 0xff, 0, 2])),
    'no end': withoutEnd(file),
    'zeros after the scan': insert(file, file.length - 2, Buffer.alloc(40)),
    'a later JFIF': insert(file, 2, jfif),
    'an unknown colour transform': insert(file, 2, adobe),
  }
  for (const [name, bytes] of Object.entries(odd)) {
    assert.equal(await strictPixels(repairJpeg(bytes)), pixels, name)
  }
})

test('repairing does not hide damage behind an oddity', async () => {
  const file = await sequential()
  const scan = lastSegment(file, 0xda)
  const hurt = insert(damaged(file), scan, Buffer.from([1, 2, 3]))
  const outcome = await strictPixels(repairJpeg(hurt)).catch((error: unknown) => error)
  assert.ok(outcome instanceof Error)
})

test('any bytes are checked and repaired without an exception', async () => {
  const file = await progressive()
  let seed = 5
  for (let round = 0; round < 500; round++) {
    const bytes = Buffer.from(file.subarray(0, 200 + ((round * 37) % (file.length - 200))))
    for (let flips = 0; flips < 8; flips++) {
      seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff
      bytes[2 + (seed % (bytes.length - 2))] = (seed >> 12) & 0xff
    }
    checkJpeg(bytes)
    repairJpeg(bytes)
  }
})

test.run()
