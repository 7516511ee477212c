import { S3Client } from '@aws-sdk/client-s3'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { parseClamdUrl } from '@millrace/worker/scanning/clamd.ts'
import { createScanning } from '@millrace/worker/scanning/scanning.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { type FakeClamd, startFakeClamd } from '../support/fake-clamd.ts'

const test = suite('scanning')
const s3 = new S3Client({ region: 'us-east-1' })
let clamd: FakeClamd

test.before(async () => {
  clamd = await startFakeClamd()
})
test.after(async () => {
  s3.destroy()
  await clamd.close()
})

function openScanOf(slots: number) {
  const address = parseClamdUrl(clamd.url)
  if (!address) throw new Error(`not an address: ${clamd.url}`)
  const settings = { address, timeoutMs: 10_000, slots, maxBytes: 1_000, largeFiles: 'reject' as const }
  const openScan = createScanning({
    s3,
    bucket: 'bucket',
    config: { scan: { clamd: settings, inspector: undefined } },
  })
  if (!openScan) throw new Error('nothing is scanned')
  return openScan
}

function newFile() {
  const arrival = { etag: 'etag', size: 4 }
  const now = new Date().toISOString()
  const upload: Upload = {
    id: newUploadId(),
    owner: 's-tester',
    state: 'processing',
    intent: { filename: 'a.txt', contentType: 'text/plain', size: 4, preset: 'default' },
    arrival,
    findings: {},
    variants: [],
    createdAt: now,
    updatedAt: now,
  }
  return { upload, arrival, size: 4, detectedType: undefined }
}

const { signal } = new AbortController()

/** @returns `clean`, or the code of the error */
async function scan(openScan: ReturnType<typeof openScanOf>, file = newFile()): Promise<string> {
  const opened = await openScan(file, () => {}, signal)
  try {
    await opened.write(Buffer.from('text'))
    await opened.finish('0'.repeat(64))
    return 'clean'
  } catch (error) {
    return error instanceof AppError ? error.code : String(error)
  } finally {
    opened.close()
  }
}

test('a file on which clamd fails again and again while it passes others is at fault', async () => {
  const openScan = openScanOf(2)
  const poison = newFile()
  const codes: string[] = []
  for (let attempt = 0; attempt < 4; attempt++) {
    clamd.setMode('close')
    codes.push(await scan(openScan, poison))
    clamd.setMode('scan')
    const others = attempt === 0 ? 2 : 5
    for (let i = 0; i < others; i++) assert.is(await scan(openScan), 'clean')
  }
  assert.equal(codes, ['scan_unavailable', 'scan_unavailable', 'processing_failed', 'processing_failed'])
})

test('a scan that waits for a slot ends with its job, and a closed scan frees its slot', async () => {
  const openScan = openScanOf(1)
  const first = await openScan(newFile(), () => {}, signal)
  const aborting = new AbortController()
  const waiting = openScan(newFile(), () => {}, aborting.signal)
  const next = scan(openScan)
  aborting.abort(new Error('the job was handed back'))
  assert.is(await waiting.catch((error: Error) => error.message), 'the job was handed back')
  first.close()
  first.close()
  assert.is(await next, 'clean')
  assert.is(await scan(openScan), 'clean')
})

test('without CLAMD_URL and INSPECT_URL nothing is scanned', () => {
  const scan = { clamd: undefined, inspector: undefined }
  assert.is(createScanning({ s3, bucket: 'bucket', config: { scan } }), undefined)
})

test.run()
