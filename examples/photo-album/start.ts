// `npm start`: starts Millrace and the photo album beside it. An app of yours needs none of this: it starts as server/main.ts does,
// with the variables in README.md, once it has an API key and a webhook (start/create-settings.ts).
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs, parseEnv } from 'node:util'
import { createSettings } from './start/create-settings.ts'
import { createProcesses, ProgramError } from './start/processes.ts'

const usage = `Usage: npm start -- [options]

  --port PORT           port of the photo album (default 4000)
  --millrace-port PORT  port of Millrace (default 4001)
  --data DIR            where photos and settings are kept (default .millrace in this folder)
  --help                print this text and exit
`
const here = import.meta.dirname
const repository = join(here, '../..')
const local = join(repository, 'packages/local/src')
// Millrace's own programs use the client's source. The album uses its build, as every other app does.
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
  const data = resolve(values.data)
  const millraceData = join(data, 'millrace')
  const origin = `http://localhost:${values.port}`
  const { run, start, stop, isStopping } = createProcesses()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop)

  try {
    print('Building the client and the page…')
    await run(['run', 'build'], { cwd: join(repository, 'packages/client') })
    await run([vite, 'build'], { cwd: here })

    print('Starting Millrace…')
    const millrace = await start(
      [source, join(local, 'main.ts'), '--port', values['millrace-port'], '--data', millraceData],
      { environment: { ALLOWED_ORIGINS: origin }, ready: /^Millrace is ready: (\S+)$/m },
    )

    // Once for each port, because the webhook has the album's address.
    const settingsFile = join(data, `album-${values.port}.env`)
    if (!existsSync(settingsFile)) {
      const createKey = (scopes: string[]) =>
        run([source, join(local, 'api-key-main.ts'), 'create', '--tenant', 'photo-album', '--data', millraceData])
    }
  } finally {
    await stop()
  }
}
