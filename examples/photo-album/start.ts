// `npm start`: starts Millrace and the photo album beside it. An app of yours needs none of this: it starts as server/main.ts does,
// with the variables in README.md.
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { isBuilt } from './start/is-built.ts'
import { createProcesses, ProgramError } from './start/processes.ts'
import { openSettings } from './start/settings.ts'

const usage = `Usage: npm start -- [options]

  --port PORT           port of the photo album (default 4000)
  --millrace-port PORT  port of Millrace (default 4001)
  --data DIR            where photos and settings are kept (default .millrace in this folder)
  --help                print this text and exit
`

const here = import.meta.dirname
const packages = join(here, '../../packages')
const client = join(packages, 'client')
const tsc = join(here, '../../node_modules/typescript/bin/tsc')
const vite = join(here, '../../node_modules/vite/bin/vite.js')
const print = (line: string) => process.stderr.write(`${line}\n`)
/** Millrace's own programs use the client's source; the album uses what is published, as every other app does. */
const source = '--conditions=@millrace/source'

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '4000' },
      'millrace-port': { type: 'string', default: '4001' },
      data: { type: 'string', default: join(here, '.millrace') },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(usage)
    return
  }
  const { run, start, stop } = createProcesses()
  const stopping = Promise.withResolvers<void>()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stopping.resolve())
  const directory = resolve(values.data)
  const origin = `http://localhost:${values.port}`

  async function startAll(): Promise<never> {
    print('Building the page…')
    // An app that installs the client from npm gets it built.
    if (!isBuilt(client)) await run([tsc, '-p', join(client, 'tsconfig.build.json')])
    await run([vite, 'build', '--logLevel', 'error'], { directory: here })

    print('Starting Millrace…')
    const { settings, apiKeys, provideWebhook } = openSettings(join(directory, `album-${values.port}.env`))
    const millrace = await start(
      [
        ...[source, join(packages, 'local/src/main.ts')],
        ...['--port', values['millrace-port'], '--data', join(directory, 'millrace')],
      ],
      { environment: { ALLOWED_ORIGINS: origin, API_KEYS: apiKeys }, ready: /^Millrace is ready: (\S+)$/m },
    )
    const [, millraceOrigin = ''] = millrace.match
    await provideWebhook({ millrace: millraceOrigin, url: `${origin}/api/uploads` })

    const album = await start([join(here, 'server/main.ts')], {
      environment: { ...settings, PORT: values.port, MILLRACE_ORIGIN: millraceOrigin, ALBUM_DATA: directory },
      ready: /^The photo album is ready: .*$/m,
    })
    process.stdout.write(
      `${album.match[0]}\nMillrace: ${millraceOrigin}\n\nPress Ctrl-C to stop. The photos are kept.\n`,
    )
    return Promise.race([millrace.ended, album.ended])
  }

  try {
    await Promise.race([startAll(), stopping.promise])
  } finally {
    await stop()
  }
}

try {
  await main()
} catch (error) {
  if (!(error instanceof ProgramError)) throw error
  print(error.message)
  process.exitCode = 1
}
