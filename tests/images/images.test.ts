import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { BlockList } from 'node:net'
import { join, relative } from 'node:path'
import { UploadView } from '@millrace/api/uploads/upload-view.ts'
import sharp from 'sharp'
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { bodyOf, createHttpClient } from '../support/http-client.ts'
import { suite } from '../support/suite.ts'
import { mediaFile } from '../worker/support/media-files.ts'
import { builtServices, openComposeProject } from './compose-project.ts'
import { docker } from './container-engine.ts'
import { searchImage } from './container-files.ts'
import { followUpload } from './follow-upload.ts'
import { readImageRun } from './image-run.ts'
import { addedSizeLimits, readImageSize } from './image-sizes.ts'

const { directory, paths, secret, apiPort } = readImageRun(process.env)
const project = openComposeProject(directory)
const origin = `http://127.0.0.1:${apiPort}`
const client = createHttpClient(origin)

const test = suite('images', undefined, { limitMs: 180_000 })

test.before(async () => {
  // Redis first: it must not take the address of the local cloud.
  await project.up('redis-session-store')
  await project.up('stateless-app', 'worker')
})

test('the build context has files of the repository only, and no planted secret', async () => {
  const [dockerfile, context] = [join(directory, 'context.Dockerfile'), join(directory, '.context')]
  await writeFile(dockerfile, 'FROM scratch\nCOPY . /\n')
  await mkdir(context)
  await docker([
    'buildx',
    'build',
    '--quiet',
    '--file',
    dockerfile,
    '--output',
    `type=local,dest=${context}`,
    directory,
  ])
  const found = (await readdir(context, { recursive: true, withFileTypes: true }))
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(context, join(entry.parentPath, entry.name)))
  assert.ok(found.includes('packages/api/src/main.ts'))
  assert.equal(
    found.filter((path) => !paths.includes(path)),
    [],
  )
})

test('no image contains a planted secret', async () => {
  for (const service of builtServices) {
    const image = project.image(service)
    const { bytes, found } = await searchImage(image, secret)
    assert.ok(bytes > 50e6, 'the search saw the files')
    assert.not(found, service)
    const history = await docker(['history', '--no-trunc', '--format', '{{.CreatedBy}}', image])
    assert.not.match(history, secret)
  }
})

test('no image adds more to its base than its limit', async () => {
  for (const service of builtServices) {
    const { added } = await readImageSize(project.image(service))
    assert.ok(added <= addedSizeLimits[service], `${service}: ${added} bytes`)
  }
})

test('Compose accepts the file with all profiles', () => project.config('tools', 'scan', 'observe'))

const Addresses = Compile(Type.Record(Type.String(), Type.Object({ IPAddress: Type.String() })))

/** Returns a container's address in the network of the project. */
async function addressOf(service: string): Promise<string> {
  const container = await project.container(service)
  const networks = await docker(['inspect', '--format', '{{json .NetworkSettings.Networks}}', container])
  return Object.values(Addresses.Parse(JSON.parse(networks)))[0]?.IPAddress ?? ''
}

test('a container that starts first leaves the fixed address to the local cloud', async () => {
  const { networks } = parse(await readFile(join(directory, 'compose.yaml'), 'utf8'))
  const [start, bits] = networks.default.ipam.config[0].ip_range.split('/')
  const range = new BlockList()
  range.addSubnet(start, Number(bits))
  const address = await addressOf('redis-session-store')
  assert.ok(range.check(address), address)
  assert.is(await addressOf('local-cloud'), '172.28.7.2')
})

test('the containers run without root, capabilities, new privileges, or a file system to write to', async () => {
  for (const service of builtServices) {
    const status = await project.exec(service, 'cat', '/proc/self/status')
    const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1]
    assert.is(field('Uid'), '1000\t1000\t1000\t1000', service)
    assert.is(field('NoNewPrivs'), '1', service)
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      assert.is(Number.parseInt(field(set) ?? '', 16), 0, `${service}: ${set}`)
    const script = `const { writeFileSync } = require('node:fs')
      const tryTo = (path) => { try { writeFileSync(path, ''); return 'written' } catch ({ code }) { return code } }
      console.log(['/millrace/x', '/home/x', '/usr/x', '/tmp/x'].map(tryTo).join())`
    assert.is(await project.exec(service, 'node', '-e', script), 'EROFS,EROFS,EROFS,written', service)
  }
})

/** Sends a file through the API and returns the upload when it is in a final state. */
async function sendAndFollow(filename: string, contentType: string, bytes: Buffer): Promise<UploadView> {
  const { id } = await send(filename, contentType, bytes)
  return followUpload(origin, client, id, 'ready', 'rejected', 'failed')
}

async function send(filename: string, contentType: string, bytes: Buffer): Promise<UploadView> {
  const response = await client.request('POST', `/upload?filename=${filename}`, {
    body: Uint8Array.from(bytes),
    headers: { 'content-type': contentType },
  })
  return bodyOf(response, UploadView)
}

/** Fetches a variant as a browser does: from the address of S3 that the API signs. */
async function fetchVariant(upload: UploadView, name: string): Promise<Buffer> {
  const response = await fetch(`${origin}/uploads/${upload.id}/variants/${name}`, {
    headers: { cookie: client.cookie ?? '' },
  })
  assert.is(response.status, 200)
  return Buffer.from(await response.arrayBuffer())
}

test('a photo becomes its variants, which a browser can fetch', async () => {
  const photo = sharp({ create: { width: 1200, height: 800, channels: 3, background: '#369' } })
  const upload = await sendAndFollow('photo.jpg', 'image/jpeg', await photo.jpeg().toBuffer())
  assert.is(upload.state, 'ready')
  const { format, width, height } = await sharp(await fetchVariant(upload, 'w960')).metadata()
  assert.equal({ format, width, height }, { format: 'webp', width: 960, height: 640 })
})

test('the text of an SVG file is drawn in letters', async () => {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="320" height="320"><rect width="320" height="320" fill="#fff"/>
    <text x="60" y="270" font-family="sans-serif" font-size="280">H</text></svg>`
  const upload = await sendAndFollow('text.svg', 'image/svg+xml', Buffer.from(svg))
  assert.is(upload.state, 'ready')
  const { data, info } = await sharp(await fetchVariant(upload, 'w320'))
    .greyscale()
    .raw()
    .toBuffer({ resolveWithObject: true })
  /** How often a row changes between light and dark. A box for a missing letter has a frame and digits in it. */
  const edgesAt = (y: number) => {
    const row = [...data.subarray(y * info.width, (y + 1) * info.width)].map((value) => value < 128)
    return row.filter((isDark, x) => x > 0 && isDark !== row[x - 1]).length
  }
  // The letter is some 204 px high, from y = 66 to y = 270: two bars, one bar across the middle.
  assert.equal([100, 168, 240].map(edgesAt), [4, 2, 4])
  assert.equal([40, 300].map(edgesAt), [0, 0])
})

test('the ffmpeg of the image decodes a poster of each video codec', async () => {
  const films: [file: string, type: string][] = [
    ['mp4-faststart.mp4', 'video/mp4'],
    ['mp4-hevc.mp4', 'video/mp4'],
    ['mp4-av1.mp4', 'video/mp4'],
    ['webm-vp9.webm', 'video/webm'],
  ]
  for (const [file, type] of films) {
    const upload = await sendAndFollow(file, type, await mediaFile(file))
    assert.is(upload.state, 'ready', file)
    const { data, info } = await sharp(await fetchVariant(upload, 'w320'))
      .raw()
      .toBuffer({ resolveWithObject: true })
    /** The largest of red, green and blue in the middle of a quarter, and whether the others are small. */
    const colorAt = (column: number, row: number) => {
      const at =
        Math.floor(((row + 0.5) / 2) * info.height) * info.width +
        Math.floor(((column + 0.5) / 2) * info.width)
      return [...data.subarray(at * info.channels, at * info.channels + 3)]
        .map((value) => Number(value > 128))
        .join('')
    }
    const quarters = [colorAt(0, 0), colorAt(1, 0), colorAt(0, 1), colorAt(1, 1)]
    assert.equal(quarters, ['100', '010', '001', '110'], file)
  }
})

test('a worker that gets SIGTERM during a job ends with 0, and the upload becomes ready', async () => {
  const worker = await project.container('worker')
  const noise = { type: 'gaussian', mean: 128, sigma: 30 } as const
  const photo = sharp({ create: { width: 6000, height: 5000, channels: 3, background: '#000', noise } })
  const { id } = await send('large.png', 'image/png', await photo.png({ compressionLevel: 1 }).toBuffer())
  await followUpload(origin, client, id, 'processing')
  await docker(['kill', '--signal', 'SIGTERM', worker])
  assert.is(await docker(['wait', worker]), '0')
  const lines = await project.logLines('worker')
  const closingAt = lines.findIndex((line) => line.includes('"event":"closing"'))
  const finishedAt = lines.findIndex((line) => line.includes(id))
  assert.ok(closingAt > 0 && (finishedAt === -1 || finishedAt > closingAt), 'the job ended after the signal')
  await project.up('worker')
  const upload = await followUpload(origin, client, id, 'ready', 'rejected', 'failed')
  assert.is(upload.state, 'ready')
})

test('the services write JSON lines only, and no warnings', async () => {
  for (const service of ['stateless-app', 'worker']) {
    const lines = await project.logLines(service)
    assert.ok(lines.length > 2, service)
    const others = lines.filter((line) => !/^\{"level":[123]0,/.test(line))
    assert.equal(others, [], service)
  }
})

test('all containers end with 0 on SIGTERM', async () => {
  for (const service of ['stateless-app', 'worker', 'local-cloud', 'redis-session-store']) {
    const container = await project.container(service)
    await docker(['kill', '--signal', 'SIGTERM', container])
    assert.is(await docker(['wait', container]), '0', service)
  }
})

test.run()
