import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { npmCommand, packClient } from './packed-client.ts'

const run = promisify(execFile)
const fixture = join(import.meta.dirname, '../../fixtures/next-app')

/**
 * Installs tests/fixtures/next-app into a folder of its own together with the packed client, builds it, and starts it on a
 * free port. Nothing of this repository's node_modules is in reach of it.
 *
 * @param environment what the app reads
 * @throws Error with what npm or Next printed
 */
export async function startNextApp(environment: NodeJS.ProcessEnv) {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-next-app-'))
  // The options of the tests' own Node would lead the app to the client's source.
  const { NODE_OPTIONS: _, NODE_COMPILE_CACHE: __, NODE_ENV: ___, ...inherited } = process.env
  const options = {
    cwd: folder,
    env: { ...inherited, ...environment, NEXT_TELEMETRY_DISABLED: '1' },
  }
  let server: ChildProcess | undefined

  async function close() {
    if (server && server.exitCode === null && server.signalCode === null) {
      const closed = once(server, 'close')
      server.kill()
      await closed
    }
    await rm(folder, { recursive: true })
  }

  try {
    await cp(fixture, folder, { recursive: true })
    const { tarball } = await packClient(folder)
    const [npm, ...parameters] = npmCommand
    const quietly = ['--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline']
    await runStep(npm, [...parameters, 'install', ...quietly, tarball], options)
    const next = join(folder, 'node_modules/next/dist/bin/next')
    await runStep(process.execPath, [next, 'build'], options)
    const started = spawn(process.execPath, [next, 'start', '--hostname', '127.0.0.1', '--port', '0'], {
      ...options,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    server = started
    return { origin: await originOf(started), close }
  } catch (error) {
    await close()
    throw error
  }
}

/** @throws Error with what the program printed */
async function runStep(
  program: string,
  parameters: string[],
  options: { cwd: string; env: NodeJS.ProcessEnv },
) {
  await run(program, parameters, options).catch((error) => {
    throw new Error(`${error.message}\n${error.stdout}${error.stderr}`)
  })
}

/** Waits until Next says that it is ready. */
function originOf(server: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let output = ''
    const read = (text: string) => {
      output += text
      const [, origin] = /(http:\/\/127\.0\.0\.1:\d+)[\s\S]*Ready/.exec(output) ?? []
      if (origin !== undefined) resolve(origin)
    }
    server.stdout?.setEncoding('utf8').on('data', read)
    server.stderr?.setEncoding('utf8').on('data', read)
    server.once('close', () => reject(new Error(`Next exited before it was ready.\n${output}`)))
  })
}
