import { rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { runTestFile } from '../support/run-file.ts'
import { openComposeProject, writeOverrides } from './compose-project.ts'
import { findMissingEngine } from './container-engine.ts'
import { copyRepository } from './copied-repository.ts'
import { runVariable } from './image-run.ts'
import { describeSizes } from './image-sizes.ts'

/**
 * `npm run test:images`: builds the images of a copy of this repository, starts them by compose.yaml, and tests them. Without a
 * container engine it says so and ends with 0.
 *
 * `TEST_NODE_IMAGE` and `TEST_REDIS_IMAGE` replace the images that are pulled otherwise, where no registry is reached:
 * `tests/images/make-base-images.sh` makes them.
 */

/** A cold build compiles ffmpeg before; the tests themselves take about a minute. */
const limitMs = 600_000
const print = (line: string) => process.stdout.write(`${line}\n`)

/** Returns a port of loopback that is free now. */
async function findFreePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('The server has no port.')
  return address.port
}

async function testImages(): Promise<number> {
  const stopping = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort())
  const { directory, secret, paths } = await copyRepository()
  const [apiPort, s3Port] = [await findFreePort(), await findFreePort()]
  await writeOverrides(directory, {
    apiPort,
    s3Port,
    nodeImage: process.env['TEST_NODE_IMAGE'],
    redisImage: process.env['TEST_REDIS_IMAGE'],
  })
  const project = openComposeProject(directory)
  try {
    await project.remove()
    await project.build()
    for (const line of await describeSizes(project.image)) print(line)
    const run = { directory, secret, paths, apiPort }
    const result = await runTestFile(join(import.meta.dirname, 'images.test.ts'), {
      environment: { ...process.env, [runVariable]: JSON.stringify(run) },
      limitMs,
      signal: stopping.signal,
    })
    print(result.output.trimEnd())
    for (const failure of result.failures) print(`✘ ${failure}`)
    if (result.failures.length > 0) print(await project.lastLogs())
    print(`${result.passed} passed, ${result.failures.length} failed`)
    return result.failures.length
  } finally {
    // The directory is removed even if the engine fails here.
    await project.remove().finally(() => rm(directory, { recursive: true }))
  }
}

const missing = await findMissingEngine()
if (missing !== undefined) print(`skipped: no container engine (${missing})`)
else process.exitCode = (await testImages()) > 0 ? 1 : 0
