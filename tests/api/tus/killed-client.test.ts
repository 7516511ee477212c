import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { GetObjectCommand } from '@aws-sdk/client-s3'
import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { provideOldNode } from '../../support/old-node.ts'
import { suite } from '../../support/suite.ts'

const test = suite('tus-js-client in a process that is killed', {}, { limitMs: 60_000 })
const MiB = 1024 ** 2
const program = join(import.meta.dirname, 'support/send-with-tus-js-client.mjs')
const { key, entry } = newApiKey('shop', ['uploads:read', 'uploads:write'])

let api: ApiInstances
let directory: string

test.before(async () => {
  api = await startApiInstances({ environment: { API_KEYS: entry } })
  directory = await mkdtemp(join(tmpdir(), 'millrace-killed-client-'))
})
test.after(async () => {
  await api.close()
  await rm(directory, { recursive: true })
})

/** Starts a process that sends a file. */
function send(node: string, file: string, ...stopAfter: string[]) {
  const parameters = [program, `${api.url}/tus/`, key, file, `${file}.urls`, ...stopAfter]
  const child = spawn(node, parameters, { stdio: ['ignore', 'pipe', 'inherit'] })
  return { child, lines: createInterface(child.stdout), closed: once(child, 'close') }
}

const node20 = await provideOldNode(20)
const nodes = { 'Node 20': node20 ?? '', 'Node 24': process.execPath }

for (const [first, second] of [
  ['Node 20', 'Node 24'],
  ['Node 24', 'Node 20'],
] as const) {
  const name = `an upload of ${first} that is killed between two bytes is continued by ${second}`
  if (node20 === undefined) {
    test.skip(name, 'there is no Node 20 for this machine')
    continue
  }
  test(name, async () => {
    const file = join(directory, first)
    const bytes = randomBytes(3 * MiB)
    await writeFile(file, bytes)

    const killed = send(nodes[first], file, String(2.5 * MiB))
    const before: string[] = []
    for await (const line of killed.lines) {
      before.push(line)
      if (line === 'stands still') killed.child.kill('SIGKILL')
    }
    assert.equal(await killed.closed, [null, 'SIGKILL'])
    assert.equal(before, ['POST', 'stands still'])

    const continued = send(nodes[second], file)
    const after: string[] = []
    for await (const line of continued.lines) after.push(line)
    assert.equal(await continued.closed, [0, null])
    const [head = '', ...rest] = after
    const [url = ''] = rest.splice(-1)
    assert.match(head, /^HEAD \d+$/)
    assert.ok(Number(head.slice(5)) > 0, head)
    assert.equal(rest, [`PATCH ${3 * MiB}`])

    const id = url.split('/').at(-1) ?? ''
    const { Body } = await api.s3.send(
      new GetObjectCommand({ Bucket: api.bucket, Key: `originals/shop/${id}` }),
    )
    assert.ok(bytes.equals((await Body?.transformToByteArray()) ?? new Uint8Array()))
  })
}

test.run()
