import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * Listens on the port of the last time where it is still free, on any free one otherwise, and remembers it.
 * A page that was open during a restart, and URLs that were signed before it, then go on working.
 *
 * @param directory keeps the port, in a file named `{name}-port`
 * @param listen starts the server on a port, 0 for any free one; rejects with EADDRINUSE where it is taken
 */
export async function listenOnPersistentPort<Server extends { endpoint: string }>(
  directory: string,
  name: string,
  listen: (port: number) => Promise<Server>,
): Promise<Server> {
  const file = join(directory, `${name}-port`)
  const remembered = Number.parseInt(await readFile(file, 'utf8').catch(() => ''), 10) || 0
  const server = await listen(remembered).catch((error: unknown) => {
    const taken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'
    if (!taken || remembered === 0) throw error
    return listen(0)
  })
  await writeFile(file, new URL(server.endpoint).port)
  return server
}
