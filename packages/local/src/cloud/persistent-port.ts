import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { hasErrorCode } from '../setup/error-code.ts'

/**
 * Listens on the same port as the last time if it is still free, otherwise on any free port, and stores it.
 * A page that was open during a restart, and URLs that were signed before it, continue to work.
 *
 * @param directory contains the port, in a file named `{name}-port`
 * @param listen starts the server on a port, 0 for any free one; rejects with EADDRINUSE if it is in use
 */
export async function listenOnPersistentPort<Server extends { endpoint: string }>(
  directory: string,
  name: string,
  listen: (port: number) => Promise<Server>,
): Promise<Server> {
  const file = join(directory, `${name}-port`)
  const storedPort = Number.parseInt(await readFile(file, 'utf8').catch(() => ''), 10) || 0
  const server = await listen(storedPort).catch((error: unknown) => {
    if (storedPort === 0 || !hasErrorCode(error, 'EADDRINUSE')) throw error
    return listen(0)
  })
  await writeFile(file, new URL(server.endpoint).port)
  return server
}
