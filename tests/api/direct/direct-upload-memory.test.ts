import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { request } from 'node:http'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { suite } from '../../support/suite.ts'

const MiB = 1024 ** 2

/** MiB. As much as shows that memory does not grow with the file; 5 GiB take minutes. */
const fileMiB = Number(process.env['MEMORY_TEST_MIB'] ?? 192)
/** What one upload may add to the memory of an instance that has already served one, MiB. */
const allowanceMiB = 128

const test = suite('memory of uploads through the API', {}, { limitMs: 30_000 + fileMiB * 50 })
const main = fileURLToPath(import.meta.resolve('@millrace/api/main.ts'))
let api: ApiInstances
let child: ChildProcess
let url: string
let restingMiB: number

test.before(async () => {
  api = await startApiInstances()
  child = spawn(process.execPath, [main], {
    env: { PATH: process.env['PATH'], ...api.environment, LOG_LEVEL: 'info', PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout ?? Readable.from([]) })
  url = await new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`The API ended with ${code}.`)))
    lines.on('line', (line) => {
      const { event, port } = JSON.parse(line)
      if (event === 'listening') resolve(`http://127.0.0.1:${port}`)
    })
  })
  // What the first upload of each kind loads and compiles is no part of what a large one takes.
  for (const kind of kinds) await send(kind, 1)
  restingMiB = await peakMiB()
})
test.after(async () => {
  child.kill('SIGTERM')
  if (child.exitCode === null) await once(child, 'exit')
  await api.close()
})

/** The most memory the API ever had, in MiB; on Linux the kernel keeps count. */
async function peakMiB(): Promise<number> {
  const status = await readFile(`/proc/${child.pid}/status`, 'utf8')
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024
}

type Kind = {
  what: string
  headers: (bytes: number) => Record<string, string | number>
  head: string
  tail: string
}

const formHead = '--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
const formTail = '\r\n--b--\r\n'
const kinds: Kind[] = [
  { what: 'a raw body', headers: (bytes) => ({ 'content-length': bytes }), head: '', tail: '' },
  { what: 'a chunked body', headers: () => ({ 'transfer-encoding': 'chunked' }), head: '', tail: '' },
  {
    what: 'a form',
    headers: (bytes) => ({
      'content-type': 'multipart/form-data; boundary=b',
      'content-length': bytes + formHead.length + formTail.length,
    }),
    head: formHead,
    tail: formTail,
  },
]

/** Sends a file as fast as it is taken. @param size MiB */
async function send({ headers, head, tail }: Kind, size: number): Promise<void> {
  const sent = request(`${url}/upload?filename=a`, { method: 'POST', headers: headers(size * MiB) })
  const answered = once(sent, 'response')
  const piece = Buffer.alloc(MiB, 'x')
  if (head) sent.write(head)
  for (let count = 0; count < size; count++) if (!sent.write(piece)) await once(sent, 'drain')
  sent.end(tail)
  const [response] = await answered
  const body = await text(response)
  if (response.statusCode !== 201) throw new Error(`${response.statusCode} ${body}`)
  assert.is(JSON.parse(body).size, size * MiB)
}

for (const kind of kinds) {
  test(`stays flat while ${kind.what} of ${fileMiB} MiB passes through`, async () => {
    await send(kind, fileMiB)
    const peak = await peakMiB()
    assert.ok(
      peak - restingMiB < allowanceMiB,
      `the peak went from ${Math.round(restingMiB)} to ${Math.round(peak)} MiB`,
    )
  })
}

test.run()
