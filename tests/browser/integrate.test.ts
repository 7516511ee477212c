import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer, request as httpRequest, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SignJWT } from 'jose'
import type { Browser } from 'playwright-core'
import * as assert from 'uvu/assert'
import { conditions, runVite } from '../support/browser-bundle.ts'
import { openBrowser, openPage } from '../support/chromium.ts'
import { suite } from '../support/suite.ts'
import { samplePicture } from '../worker/support/sample-images.ts'
import { apiKeys, jwt, openSharedSystem } from './support/shared-system.ts'

const test = suite('docs/integrate.md', {}, { limitMs: 90_000 })
const root = join(import.meta.dirname, '../..')
const { key } = apiKeys.integrate
const html =
  '<!doctype html><link rel="icon" href="data:,"><input type="file"><output></output><div id="root"></div>'

let folder: string
let app: string
/** Where the page's own backend is, to which the frontend forwards requests. */
let backendPort = 0
let api: string
let photo: Buffer
let browser: Browser

test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-integrate-'))
  const system = await openSharedSystem()
  api = system.url
  app = system.sameSite
  system.serve((request, response) => {
    if (request.url === '/') {
      response.setHeader('content-type', 'text/html').end(html)
      return
    }
    const { method, headers, url: path } = request
    const forwarded = httpRequest(
      { port: backendPort, host: '127.0.0.1', method, headers, path },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(response)
      },
    )
    forwarded.on('error', () => response.writeHead(502).end())
    request.pipe(forwarded)
  })
  await writeBlocks()
  photo = await samplePicture(600, 400).jpeg().toBuffer()
  browser = await openBrowser()
})
test.after(async () => {
  await browser?.close()
  await rm(folder, { recursive: true })
})

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** Writes each block of code into the file that its first line names. */
async function writeBlocks() {
  const page = await readFile(join(root, 'docs/integrate.md'), 'utf8')
  for (const [, code = '', name = ''] of page.matchAll(
    /```[jt]sx?\n(\/\/ ([\w-]+\.[jt]sx?)\b[\s\S]*?)```/g,
  )) {
    await writeFile(join(folder, name), code.replaceAll('https://media.example.com', api))
  }
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
  await mkdir(join(folder, 'node_modules/@millrace'), { recursive: true })
  await symlink(join(root, 'packages/client'), join(folder, 'node_modules/@millrace/client'))
  for (const name of ['react', 'react-dom']) {
    await symlink(join(root, 'node_modules', name), join(folder, 'node_modules', name))
  }
}

/** A module that tells the parent process when the program listens. The program itself prints nothing then. */
const tellListening = `data:text/javascript,${encodeURIComponent(`
  import { subscribe } from 'node:diagnostics_channel'
  subscribe('tracing:net.server.listen:asyncEnd', () => process.send('listening'))
`)}`

/** Starts a program of the page, and forwards requests to it. */
async function startBackend(program: string, environment: NodeJS.ProcessEnv = {}) {
  const server = createServer()
  backendPort = await listen(server)
  server.close()
  await once(server, 'close')
  const own = { MILLRACE_ORIGIN: api, MILLRACE_API_KEY: key, PORT: String(backendPort), ...environment }
  const child = spawn(
    process.execPath,
    ['--conditions=@millrace/source', '--import', tellListening, program],
    {
      cwd: folder,
      stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
      env: { ...process.env, ...own },
    },
  )
  const exited = once(child, 'exit').then(([code]) => {
    throw new Error(`${program} exited with ${code}.`)
  })
  await Promise.race([once(child, 'message'), exited])
  exited.catch(() => undefined)
  return child
}

async function end(child: ChildProcess) {
  child.kill()
  await once(child, 'close')
}

/** Bundles a module of the page, as an app's bundler does. */
function bundle(name: string): Promise<string> {
  return runVite({
    root: folder,
    resolve: { conditions },
    build: { write: false, minify: false, lib: { entry: join(folder, name), formats: ['es'] } },
    oxc: { jsx: { runtime: 'automatic', importSource: 'react' } },
  })
}

/** Opens a page with a script of the page, as a user of the app. */
async function openWith(script: string) {
  const context = await browser.newContext()
  await context.addCookies([{ name: 'user', value: 'ada', url: app }])
  const opened = await openPage(context, app)
  const body = await bundle(script)
  await context.route(`${app}/script.js`, (route) => route.fulfill({ contentType: 'text/javascript', body }))
  await opened.page.evaluate((address) => import(address), `${app}/script.js`)
  return { context, ...opened }
}

const chosen = () => ({ name: 'harbour.jpg', mimeType: 'image/jpeg', buffer: photo })

test('a page of the same origin sends a file by its cookie, and shows the variant', async () => {
  // The frontend is the reverse proxy.
  backendPort = Number(new URL(api).port)
  const { context, page, errors } = await openWith('same-origin.js')
  await page.locator('input').setInputFiles(chosen())
  await page.getByAltText('harbour.jpg').waitFor()
  assert.equal(errors, [])
  await context.close()
})

test('a page of another origin sends a file with a token of its backend', async () => {
  const backend = await startBackend('backend.js')
  try {
    const { context, page, errors } = await openWith('tokens.js')
    await page.locator('input').setInputFiles(chosen())
    await page.getByAltText('harbour.jpg').waitFor()
    assert.equal(errors, [])
    await context.close()
  } finally {
    await end(backend)
  }
})

test("a page sends a file with the JWT of the app's identity provider", async () => {
  const token = await new SignJWT()
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuer(jwt.issuer)
    .setAudience(jwt.audience)
    .setSubject('ada')
    .setIssuedAt()
    .setExpirationTime('5m')
    .sign(new TextEncoder().encode(jwt.secret))
  const provider = `export const identityProvider = { getAccessToken: async () => ${JSON.stringify(token)} }\n`
  await writeFile(join(folder, 'identity-provider.js'), provider)
  const { context, page, errors } = await openWith('jwt.js')
  await page.locator('input').setInputFiles(chosen())
  await page.getByAltText('harbour.jpg').waitFor()
  assert.equal(errors, [])
  await context.close()
})

test("a React page sends a file to a route of the app's backend, which is told when it is ready", async () => {
  const registering = spawn(
    process.execPath,
    [
      '--conditions=@millrace/source',
      'register-webhook.js',
      `http://127.0.0.1:${new URL(app).port}/api/uploads`,
    ],
    {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, MILLRACE_ORIGIN: api, MILLRACE_API_KEY: key },
    },
  )
  let printed = ''
  registering.stdout.setEncoding('utf8').on('data', (text: string) => {
    printed += text
  })
  await once(registering, 'close')
  const [, secret] = /^MILLRACE_WEBHOOK_SECRET=(whsec_\S+)$/m.exec(printed) ?? []
  assert.ok(secret, printed)
  const backend = await startBackend('server.ts', { MILLRACE_WEBHOOK_SECRET: secret })
  try {
    await writeFile(
      join(folder, 'main.tsx'),
      "import { createRoot } from 'react-dom/client'\nimport { Avatar } from './avatar.tsx'\ncreateRoot(document.querySelector('#root')).render(<Avatar />)\n",
    )
    const { context, page, errors } = await openWith('main.tsx')
    await page.getByLabel('Avatar').setInputFiles(chosen())
    await page.locator('#root output').filter({ hasText: 'ready' }).waitFor()
    await page.waitForFunction(async () => (await (await fetch('/avatars')).text()).includes('["ada",'))
    assert.equal(errors, [])
    await context.close()
  } finally {
    await end(backend)
  }
})

test.run()
