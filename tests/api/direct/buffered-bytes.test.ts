import { readFile, writeFile } from 'node:fs/promises'
import { Problem } from '@millrace/api/requests/problem.ts'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { type ApiCloud, startApiCloud } from '../../support/api-cloud.ts'
import { type ApiProcess, startApiProcess } from '../../support/api-process.ts'
import { openConnection, type RawConnection } from '../../support/raw-connection.ts'
import { suite } from '../../support/suite.ts'

const test = suite('bytes of files in memory', {}, { limitMs: 100_000 })
const KiB = 1024
const MiB = 1024 * KiB
const TiB = 1024 ** 4
const problem = Compile(Problem)
let cloud: ApiCloud
let api: ApiProcess
let connections: RawConnection[] = []
/** What the API used before the tests, in MiB. */
let idleMiB: number

test.before(async () => {
  cloud = await startApiCloud()
  api = await startApiProcess({ ...cloud.environment, LOG_LEVEL: 'info', TRUSTED_PROXIES: '127.0.0.1' })
  // The first upload of each kind loads and compiles code. This memory does not count as growth.
  for (const send of [sendForm, sendTus]) assert.is((await send('192.0.2.200')).status, 201)
  idleMiB = await peakMiB()
})
test.after.each(() => {
  for (const connection of connections) connection.destroy()
  connections = []
})
test.after(async () => {
  await api.stop()
  await cloud.close()
})

/** Begins to measure the peak of the API's memory anew: 5 resets it to what is used now, see proc_pid_clear_refs(5). */
async function resetPeak(): Promise<void> {
  await writeFile(`/proc/${api.pid}/clear_refs`, '5')
}

/** Returns the peak of the API's memory in MiB, from the Linux kernel. */
async function peakMiB(): Promise<number> {
  const status = await readFile(`/proc/${api.pid}/status`, 'utf8')
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024
}

async function sendForm(address: string): Promise<Response> {
  const body = new FormData()
  body.append('file', new Blob([Buffer.alloc(100 * KiB)]), 'a')
  return fetch(`${api.url}/upload`, { method: 'POST', body, headers: { 'x-forwarded-for': address } })
}

async function sendTus(address: string): Promise<Response> {
  return fetch(`${api.url}/tus`, {
    method: 'POST',
    body: Buffer.alloc(100 * KiB),
    headers: {
      'x-forwarded-for': address,
      'tus-resumable': '1.0.0',
      'upload-length': String(100 * KiB),
      'content-type': 'application/offset+octet-stream',
    },
  })
}

/** Opens a connection and sends the headers of a request. */
async function open(lines: string[], address: string): Promise<RawConnection> {
  const connection = await openConnection(api.port)
  connections.push(connection)
  connection.send([...lines, 'host: localhost', `x-forwarded-for: ${address}`, '', ''].join('\r\n'))
  return connection
}

/** What each of three connections sends. Together it is more than the memory may grow. */
const sentMiB = 60
const claims: [name: string, lines: string[]][] = [
  ['a raw body', ['POST /upload?filename=a HTTP/1.1', `content-length: ${5 * TiB}`]],
  [
    'a form',
    ['POST /upload HTTP/1.1', `content-length: ${5 * TiB}`, 'content-type: multipart/form-data; boundary=b'],
  ],
  [
    'a tus upload',
    [
      'POST /tus HTTP/1.1',
      'tus-resumable: 1.0.0',
      `upload-length: ${5 * TiB}`,
      `content-length: ${5 * TiB}`,
      'content-type: application/offset+octet-stream',
    ],
  ],
]
for (const [name, lines] of claims) {
  test(`the API's memory does not follow the claim of ${name} of 5 TiB`, async () => {
    await resetPeak()
    const sending = Array.from({ length: 3 }, async (_, index) => {
      const connection = await open(lines, `192.0.2.${index}`)
      if (name === 'a form') {
        connection.send('--b\r\ncontent-disposition: form-data; name="f"; filename="a"\r\n\r\n')
      }
      const chunk = Buffer.alloc(MiB, 'x')
      for (let sent = 0; sent < sentMiB && connection.isOpen(); sent++) await connection.sendAll(chunk)
    })
    await Promise.all(sending)
    const growth = (await peakMiB()) - idleMiB
    assert.ok(
      connections.every((connection) => connection.isOpen()),
      'the API receives the files',
    )
    assert.ok(growth < 160, `the peak grew by ${Math.round(growth)} MiB`)
  })
}

/** Their buffers would be more than the memory may grow. */
const silentUploads = 60

test('60 silent uploads of one address hold its share of the memory, and others can upload', async () => {
  await resetPeak()
  const bytes = Buffer.alloc(7.9 * MiB, 'x')
  const head = `${bytes.length.toString(16)}\r\n`
  const silent = ['POST /upload?filename=a HTTP/1.1', 'transfer-encoding: chunked']
  for (let count = 0; count < silentUploads; count++) {
    const connection = await open(silent, '192.0.2.1')
    connection.send(head)
    connection.send(bytes)
  }
  // Each waits for memory for some time, then it is refused.
  const answers: string[] = []
  const allRefused = Promise.withResolvers<void>()
  for (const connection of connections) {
    connection.until('"requestId"').then((answer) => {
      answers.push(answer)
      if (answers.length === silentUploads - 8) allRefused.resolve()
    })
  }
  await allRefused.promise
  for (const send of [sendForm, sendTus]) assert.is((await send('192.0.2.2')).status, 201)
  assert.is(answers.length, silentUploads - 8, 'eight hold a buffer of 8 MiB each, a quarter of the budget')
  for (const answer of answers) {
    const [headers = '', body = ''] = answer.split('\r\n\r\n')
    assert.match(headers, /^HTTP\/1.1 429 .*\r\nretry-after: \d+\r\n/is)
    const { code, limit, remaining } = problem.Parse(JSON.parse(body))
    assert.equal([code, limit, remaining], ['too_many_uploads', 64 * MiB, 0])
  }
  const growth = (await peakMiB()) - idleMiB
  assert.ok(growth < 256, `the peak grew by ${Math.round(growth)} MiB`)
})

test.run()
