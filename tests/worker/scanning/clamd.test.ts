import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createClamd, parseClamdUrl } from '@millrace/worker/scanning/clamd.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { startFakeClamd, testSignature } from '../support/fake-clamd.ts'

const test = suite('clamd')
const never = new AbortController().signal

function clientOf(url: string, timeoutMs = 10_000) {
  const address = parseClamdUrl(url)
  if (!address) throw new Error(`not an address: ${url}`)
  return createClamd({ address, timeoutMs })
}

/** Sends a file in chunks and returns the verdict. */
async function scan(client: ReturnType<typeof clientOf>, chunks: Buffer[], signal = never) {
  const stream = client.openStream(signal)
  try {
    for (const chunk of chunks) await stream.write(chunk)
    return await stream.finish()
  } finally {
    stream.close()
  }
}

async function failureOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return 'none'
  } catch (error) {
    if (!(error instanceof AppError) || !(error.cause instanceof Error)) throw error
    return `${error.code}: ${error.cause.message}`
  }
}

test('CLAMD_URL is a TCP address or the path of a Unix socket', () => {
  assert.equal(parseClamdUrl('tcp://clamd:3310'), { host: 'clamd', port: 3310 })
  assert.equal(parseClamdUrl('tcp://10.0.0.7:3310'), { host: '10.0.0.7', port: 3310 })
  assert.equal(parseClamdUrl('tcp://[fd00::7]:3310'), { host: 'fd00::7', port: 3310 })
  assert.equal(parseClamdUrl('unix:/run/clamav/clamd.ctl'), { path: '/run/clamav/clamd.ctl' })
  for (const wrong of ['clamd:3310', 'tcp://clamd', 'tcp://clamd:0', 'tcp://clamd:65536', 'tcp://a b:1']) {
    assert.is(parseClamdUrl(wrong), undefined, wrong)
  }
  for (const wrong of ['unix:clamd.ctl', 'unix:', 'http://clamd:3310', 'tcp://u:p@clamd:3310']) {
    assert.is(parseClamdUrl(wrong), undefined, wrong)
  }
})

for (const transport of ['TCP', 'a Unix socket']) {
  test(`a file is sent over ${transport} as it is, and malware is found across chunks`, async () => {
    const directory = await mkdtemp(join(tmpdir(), 'millrace-clamd-'))
    const clamd = await startFakeClamd(transport === 'TCP' ? {} : { path: join(directory, 'c.ctl') })
    const client = clientOf(clamd.url)
    const large = Buffer.alloc(5_000_000, 'a large file ')
    const files = [[], [Buffer.alloc(0)], [Buffer.from('one'), Buffer.alloc(0), Buffer.from('two')], [large]]
    for (const chunks of files) assert.equal(await scan(client, chunks), { result: 'clean' })
    assert.equal(
      clamd.files.map(({ bytes }) => bytes.equals(Buffer.concat(files.shift() ?? []))),
      [true, true, true, true],
    )
    assert.equal(clamd.files[2]?.chunkSizes, [3, 3], 'a chunk of length 0 would end the file')
    const [before, after] = [Buffer.from(testSignature.slice(0, 7)), Buffer.from(testSignature.slice(7))]
    assert.equal(await scan(client, [before, after]), { result: 'infected', signature: 'Millrace.Test' })
    assert.is(await client.version(never), 'ClamAV 1.0.0-fake/1/today')
    await clamd.close()
    assert.is(await client.version(never), 'ClamAV 1.0.0-fake/1/today', 'it is kept')
    await rm(directory, { recursive: true })
  })
}

test('a file above StreamMaxLength is too large, also if clamd replies while it is being sent', async () => {
  const clamd = await startFakeClamd({ maxBytes: 100_000 })
  const client = clientOf(clamd.url)
  const stream = client.openStream(never)
  const chunk = Buffer.alloc(60_000)
  await stream.write(chunk)
  await stream.write(chunk)
  assert.equal(await stream.finish(), { result: 'too-large' })
  stream.close()
  await clamd.close()
})

test('without a verdict the scan fails, whatever clamd does', async () => {
  const clamd = await startFakeClamd()
  const client = clientOf(clamd.url, 300)
  const file = [Buffer.from('file')]
  clamd.setMode('error')
  assert.is(
    await failureOf(scan(client, file)),
    'scan_unavailable: clamd replied "stream: Can\'t create temporary file ERROR".',
  )
  clamd.setMode('close')
  assert.match(await failureOf(scan(client, file)), /^scan_unavailable: (clamd closed|read ECONNRESET)/)
  clamd.setMode('hang')
  const silent = 'scan_unavailable: clamd neither took bytes nor replied for 300 ms.'
  assert.is(await failureOf(scan(client, file)), silent)
  clamd.setMode('deaf')
  assert.is(await failureOf(scan(client, Array(400).fill(Buffer.alloc(65_536)))), silent)
  await clamd.close()
  assert.match(await failureOf(scan(client, file)), /^scan_unavailable: connect ECONNREFUSED/)
  assert.is(await clientOf(clamd.url).version(never), undefined)
  assert.match(
    await failureOf(scan(clientOf('unix:/nonexistent/clamd.ctl'), file)),
    /^scan_unavailable: connect ENOENT/,
  )
})

test('a reply that is not known, not complete or too long is no verdict', async () => {
  const clamd = await startFakeClamd()
  const client = clientOf(clamd.url)
  const outcomeOf = (bytes: string, endsThen: boolean, timeoutMs = 10_000) => {
    clamd.setMode({ bytes, endsThen })
    return failureOf(scan(clientOf(clamd.url, timeoutMs), [Buffer.from('file')]))
  }
  for (const reply of [
    '',
    'OK',
    'stream: ok',
    'stream: OK ',
    ' stream: OK',
    'stream: NOT OK',
    'stream: OK\nstream: Eicar FOUND or not',
    'stream: FOUND',
    'FOUND',
    'COMMAND READ TIMED OUT',
    'INSTREAM size limit exceeded. ERROR OK',
    'UNKNOWN COMMAND',
  ]) {
    const shown = reply.replace('\n', '?')
    assert.is(await outcomeOf(`${reply}\0`, true), `scan_unavailable: clamd replied "${shown}".`, reply)
  }
  const closed = 'scan_unavailable: clamd closed the connection before its reply.'
  for (const part of ['stream: OK', 'stream: Eicar FOUND']) assert.is(await outcomeOf(part, true), closed)
  assert.is(
    await outcomeOf('stream: OK', false, 300),
    'scan_unavailable: clamd neither took bytes nor replied for 300 ms.',
  )
  assert.is(
    await outcomeOf('stream: OK '.repeat(1_000), false),
    'scan_unavailable: clamd sent a reply that is too long.',
  )
  clamd.setMode({ bytes: 'stream: OK\0stream: Eicar FOUND\0', endsThen: true })
  assert.equal(await scan(client, [Buffer.from('file')]), { result: 'clean' }, 'the first reply is the one')
  clamd.setMode({ bytes: 'stream: A.B-1 FOUND\0', endsThen: false })
  assert.equal(await scan(client, []), { result: 'infected', signature: 'A.B-1' })
  await clamd.close()
})

test('an aborted scan closes its connection', async () => {
  const clamd = await startFakeClamd()
  clamd.setMode('hang')
  const aborting = new AbortController()
  const scanning = failureOf(scan(clientOf(clamd.url), [Buffer.from('file')], aborting.signal))
  await clamd.untilScans(1)
  aborting.abort()
  assert.is(await scanning, 'scan_unavailable: The operation was aborted')
  await clamd.close()
})

test.run()
