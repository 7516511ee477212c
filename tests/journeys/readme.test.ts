import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { UploadView } from '@millrace/api/uploads/upload-view.ts'
import sharp from 'sharp'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { startSystem } from '../support/start-millrace.ts'
import { suite } from '../support/suite.ts'

const test = suite('readme', undefined, { limitMs: 60_000 })
const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8')

/** Returns the README's shell block that calls the API, unchanged. */
function curlCommands(): string {
  const blocks = [...readme.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block = '']) => block)
  const [commands, ...moreBlocks] = blocks.filter((block) => block.includes('curl'))
  if (!commands || moreBlocks.length > 0)
    throw new Error('The README must have exactly one block of curl commands.')
  return commands
}

test("the README's commands upload a photo and download its thumbnail", async () => {
  const system = await startSystem()
  const directory = await mkdtemp(join(tmpdir(), 'millrace-readme-'))
  try {
    const photo = sharp({ create: { width: 1200, height: 800, channels: 3, background: '#369' } })
    await writeFile(join(directory, 'photo.jpg'), await photo.jpeg().toBuffer())
    const script = curlCommands().replaceAll('localhost:3000', new URL(system.url).host)
    const shell = spawn('bash', ['-euc', script], { cwd: directory, stdio: ['ignore', 'pipe', 'inherit'] })
    let printed = ''
    shell.stdout.setEncoding('utf8').on('data', (text: string) => {
      printed += text
    })
    const [code] = await once(shell, 'close')
    assert.is(code, 0)
    const last = [...printed.matchAll(/^data: (.*)$/gm)].at(-1)?.[1] ?? ''
    const upload = Compile(UploadView).Parse(JSON.parse(last))
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
    const thumbnail = await sharp(join(directory, 'thumbnail.jpg')).metadata()
    assert.equal([thumbnail.format, thumbnail.width, thumbnail.height], ['jpeg', 200, 200])
  } finally {
    await system.close()
    await rm(directory, { recursive: true })
  }
})

test.run()
