import { S3Client } from '@aws-sdk/client-s3'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { parseClamdUrl } from '@millrace/worker/scanning/clamd.ts'
import { inspectSecretBytes } from '@millrace/worker/scanning/inspector.ts'
import { createScanning } from '@millrace/worker/scanning/scanning.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { type FakeClamd, startFakeClamd } from '../support/fake-clamd.ts'
import { inspectSecret, startFakeInspector } from '../support/fake-inspector.ts'

const test = suite('scanning')
const credentials = { accessKeyId: 'key', secretAccessKey: 'secret' }
const s3 = new S3Client({ region: 'us-east-1', credentials })
let clamd: FakeClamd

test.before(async () => {
  clamd = await startFakeClamd()
})
test.after(async () => {
  s3.destroy()
  await clamd.close()
})

type Settings = { largeFiles?: 'reject' | 'accept'; clamdUrl?: string; inspectUrl?: string }

function openScanOf(
  slots: number,
  { largeFiles = 'reject', clamdUrl = clamd.url, inspectUrl }: Settings = {},
) {
  const address = parseClamdUrl(clamdUrl)
  if (!address) throw new Error(`not an address: ${clamdUrl}`)
  const secret = inspectSecretBytes(inspectSecret)
  const openScan = createScanning({
    s3,
    bucket: 'bucket',
    config: {
      scan: {
        clamd: { address, timeoutMs: 10_000, slots, maxBytes: 1_000, largeFiles },
        inspector: inspectUrl === undefined ? undefined : { url: inspectUrl, secret, timeoutMs: 10_000 },
      },
    },
  })
  if (!openScan) throw new Error('nothing is scanned')
  return openScan
}

function newFile(size = 4) {
  const arrival = { etag: 'etag', size }
  const now = new Date().toISOString()
  const upload: Upload = {
    id: newUploadId(),
    owner: 's-tester',
    state: 'processing',
    intent: { filename: 'a.txt', contentType: 'text/plain', size, preset: 'default' },
    arrival,
    findings: {},
    variants: [],
    createdAt: now,
    updatedAt: now,
  }
  return { upload, arrival, size, detectedType: undefined }
}

const { signal } = new AbortController()

/** @returns `clean`, or the code of the error */
async function scan(
  openScan: ReturnType<typeof openScanOf>,
  file = newFile(),
  onCheck: (name: string, result: string, detail?: string) => void = () => {},
): Promise<string> {
  let opened: Awaited<ReturnType<typeof openScan>> | undefined
  try {
    opened = await openScan(file, onCheck, signal)
    await opened.write(Buffer.alloc(file.size, 'text'))
    await opened.finish('0'.repeat(64))
    return 'clean'
  } catch (error) {
    return error instanceof AppError ? error.code : String(error)
  } finally {
    opened?.close()
  }
}

/** Scans a file. @returns the outcome, and the checks that are evidence */
async function evidenceOf(openScan: ReturnType<typeof openScanOf>, file = newFile()) {
  const checks: string[] = []
  const outcome = await scan(openScan, file, (...check) => checks.push(check.join(', ')))
  return [outcome, ...checks]
}

test('a file of exactly SCAN_MAX_BYTES is scanned, and a larger one is rejected or passes unscanned', async () => {
  clamd.setMode('scan')
  const version = 'ClamAV 1.0.0-fake/1/today'
  const unscanned = 'The file has 1001 bytes, and files above 1000 bytes are not scanned.'
  for (const [largeFiles, outcome, result] of [
    ['reject', 'too_large_to_scan', 'failed'],
    ['accept', 'clean', 'skipped'],
  ] as const) {
    const openScan = openScanOf(1, { largeFiles })
    const before = clamd.scans()
    assert.equal(await evidenceOf(openScan, newFile(1_000)), ['clean', `clamd, passed, ${version}`])
    assert.equal(await evidenceOf(openScan, newFile(1_001)), [outcome, `clamd, ${result}, ${unscanned}`])
    assert.is(clamd.scans(), before + 1, 'only the smaller one is sent')
  }
})

test("a file above clamd's own limit is rejected, or passes unscanned if large files do", async () => {
  const strict = await startFakeClamd({ maxBytes: 10 })
  const detail = "The file has 11 bytes, and files above clamd's StreamMaxLength are not scanned."
  for (const [largeFiles, outcome, result] of [
    ['reject', 'too_large_to_scan', 'failed'],
    ['accept', 'clean', 'skipped'],
  ] as const) {
    const openScan = openScanOf(1, { largeFiles, clamdUrl: strict.url })
    assert.equal(await evidenceOf(openScan, newFile(11)), [outcome, `clamd, ${result}, ${detail}`])
  }
  await strict.close()
})

test('the inspector is asked once clamd has passed a file, and its decision is waited for', async () => {
  let decision: unknown
  const inspector = await startFakeInspector((_question, response) => response.end(JSON.stringify(decision)))
  const openScan = openScanOf(1, { inspectUrl: inspector.url })
  const passed = 'clamd, passed, ClamAV 1.0.0-fake/1/today'
  clamd.setMode('scan')
  decision = { decision: 'accept' }
  assert.equal(await evidenceOf(openScan), ['clean', passed, 'inspector, passed'])
  decision = { decision: 'reject', reason: ' a\n reason ' }
  assert.equal(await evidenceOf(openScan), ['inspection_refused', passed, 'inspector, failed, a reason'])
  decision = { decision: 'reject', reason: 'x'.repeat(400) }
  assert.equal(await evidenceOf(openScan), [
    'inspection_refused',
    passed,
    `inspector, failed, ${'x'.repeat(300)}`,
  ])
  decision = { decision: 'perhaps' }
  assert.equal(await evidenceOf(openScan), ['scan_unavailable', passed])
  assert.is(inspector.questions.length, 4)
  clamd.setMode({ bytes: 'stream: Bad.One FOUND\0', endsThen: true })
  const [code, check] = await evidenceOf(openScan)
  assert.equal([code, check], ['malware_found', 'clamd, failed, Bad.One; ClamAV 1.0.0-fake/1/today'])
  clamd.setMode('error')
  assert.equal(await evidenceOf(openScan), ['scan_unavailable'])
  assert.is(inspector.questions.length, 4, 'it is not asked about others')
  inspector.close()
  clamd.setMode('scan')
  assert.equal(await evidenceOf(openScan), ['scan_unavailable', passed], 'it does not run')
})

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
