import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { request } from 'node:http'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'
import { type ApiCloud, startApiCloud } from '../../support/api-cloud.ts'
import { processEnvironment } from '../../support/process-environment.ts'
import { suite } from '../../support/suite.ts'

const MiB = 1024 ** 2

/** Size of the file in MiB: enough to show that memory does not grow with the file. 5 GiB take minutes. */
const fileMiB = Number(process.env['MEMORY_TEST_MIB'] ?? 144)
/** Limit of the memory that one upload may add to an instance that has already served one, in MiB. */
const maxGrowthMiB = 128

const test = suite('memory of direct uploads', {}, { limitMs: 30_000 + fileMiB * 50 })
const main = fileURLToPath(import.meta.resolve('@millrace/api/main.ts'))
let cloud: ApiCloud
let child: ChildProcess
let url: string
let idlePeakMiB: number

test.before(async () => {
  cloud = await startApiCloud()
  child = spawn(process.execPath, [main], {
    env: { ...processEnvironment(), ...cloud.environment, LOG_LEVEL: 'info', PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout ?? Readable.from([]) })
  url = await new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`The API exited with code ${code}.`)))
    lines.on('line', (line) => {
      const { event, port } = JSON.parse(line)
      if (event === 'listening') resolve(`http://127.0.0.1:${port}`)
    })
  })
  // The first upload of each kind loads and compiles code. This memory does not count as growth.
  for (const kind of kinds) await send(kind, 1)
  idlePeakMiB = await readPeakMiB()
})
test.after(async () => {
  child.kill('SIGTERM')
  if (child.exitCode === null) await once(child, 'exit')
  await cloud.close()
})

/** Reads the peak memory of the API since its start, in MiB, from the Linux kernel. */
async function readPeakMiB(): Promise<number> {
  const status = await readFile(`/proc/${child.pid}/status`, 'utf8')
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024
}

type Kind = {
  name: string
  headers: (bytes: number) => Record<string, string | number>
  head: string
  tail: string
}

const formHead = '--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
const formTail = '\r\n--b--\r\n'
const kinds: Kind[] = [
  { name: 'a raw body', headers: (bytes) => ({ 'content-length': bytes }), head: '', tail: '' },
  { name: 'a chunked body', headers: () => ({ 'transfer-encoding': 'chunked' }), head: '', tail: '' },
  {
    name: 'a form',
    headers: (bytes) => ({
      'content-type': 'multipart/form-data; boundary=b',
      'content-length': bytes + formHead.length + formTail.length,
    }),
    head: formHead,
    tail: formTail,
  },
]

/** Sends a file as fast as the API accepts it. */
async function send({ headers, head, tail }: Kind, sizeMiB: number): Promise<void> {
  const sending = request(`${url}/upload?filename=a`, { method: 'POST', headers: headers(sizeMiB * MiB) })
  const responded = once(sending, 'response')
  const chunk = Buffer.alloc(MiB, 'x')
  if (head) sending.write(head)
  for (let count = 0; count < sizeMiB; count++) if (!sending.write(chunk)) await once(sending, 'drain')
  sending.end(tail)
  const [response] = await responded
  const body = await text(response)
  if (response.statusCode !== 201) throw new Error(`${response.statusCode} ${body}`)
  assert.is(JSON.parse(body).size, sizeMiB * MiB)
}

for (const kind of kinds) {
  test(`the API's memory does not grow with the file while it receives ${kind.name} of ${fileMiB} MiB`, async () => {
    await send(kind, fileMiB)
    const peakMiB = await readPeakMiB()
    assert.ok(
      peakMiB - idlePeakMiB < maxGrowthMiB,
      `the peak grew from ${Math.round(idlePeakMiB)} to ${Math.round(peakMiB)} MiB`,
    )
  })
}

test.run()
