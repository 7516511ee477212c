import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { UploadView } from '@millrace/api/uploads/upload-view.ts'
import sharp from 'sharp'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { startSystem } from '../support/start-millrace.ts'
import { suite } from '../support/suite.ts'

const run = promisify(execFile)
const uploadView = Compile(UploadView)
const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8')

/** The README's only code block that starts with a line, without its fences. */
function codeBlock(language: string, firstLine: RegExp): string {
  const blocks = [...readme.matchAll(/```(\w+)\n([\s\S]*?)```/g)]
    .filter(([, name, code = '']) => name === language && firstLine.test(code.split('\n')[0] ?? ''))
    .map(([, , code = '']) => code)
  const [block, ...others] = blocks
  if (block === undefined || others.length > 0)
    throw new Error(`The README has ${blocks.length} blocks of ${language} that start with ${firstLine}.`)
  return block
}

const test = suite('README', undefined, { limitMs: 60_000 })
let system: Awaited<ReturnType<typeof startSystem>>
let directory: string

test.before(async () => {
  system = await startSystem()
  directory = await mkdtemp(join(tmpdir(), 'millrace-readme-'))
  const photo = sharp({ create: { width: 1200, height: 800, channels: 3, background: '#369' } })
  await writeFile(join(directory, 'photo.jpg'), await photo.jpeg().toBuffer())
})
test.after(async () => {
  await system.close()
  await rm(directory, { recursive: true })
})

/** The same code, against the started system. */
function atSystem(code: string): string {
  return code.replaceAll('localhost:3000', new URL(system.url).host)
}

test('the curl line uploads a photo', async () => {
  const line = atSystem(codeBlock('sh', /^curl /))
  assert.is(line.trim().split('\n').length, 1)
  const { stdout } = await run('bash', ['-euc', line], { cwd: directory })
  const { filename, state } = uploadView.Parse(JSON.parse(stdout))
  assert.is(filename, 'photo.jpg')
  // A worker may be as fast as the response.
  assert.ok(['received', 'processing', 'ready'].includes(state), state)
})

/** Runs the README's script and returns the last state that it printed. */
async function sendWithScript(filename: string) {
  const script = atSystem(codeBlock('js', /^\/\/ send\.mjs/))
  await writeFile(join(directory, 'send.mjs'), script)
  const { stdout } = await run(process.execPath, ['send.mjs', filename], { cwd: directory })
  return uploadView.Parse(JSON.parse([...stdout.matchAll(/^data: (.*)$/gm)].at(-1)?.[1] ?? ''))
}

test('the script sends a photo in one form and prints its variants', async () => {
  const upload = await sendWithScript('photo.jpg')
  assert.is(upload.state, 'ready')
  assert.equal(
    upload.variants.map(({ name, width, height }) => [name, width, height]),
    [
      ['w1920', 1200, 800],
      ['w960', 960, 640],
      ['w320', 320, 213],
      ['thumbnail', 200, 200],
    ],
  )
})

test('the script sends a file of 9 MiB in parts', async () => {
  const size = 9 * 1024 ** 2
  await writeFile(join(directory, 'large.bin'), Buffer.alloc(size))
  const upload = await sendWithScript('large.bin')
  assert.equal([upload.state, upload.size], ['ready', size])
})

test.run()
