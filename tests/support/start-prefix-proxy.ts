import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

const program = join(import.meta.dirname, 'prefix-proxy.ts')

/**
 * Starts a reverse proxy in a process of its own, which serves one path of its site from an API.
 *
 * @param prefix the path, such as `/media`; it is removed from requests
 * @returns `origin` of the proxy; `forwardTo`, which sets the API's URL; and `outside`, the requested paths that are not under
 *   the prefix
 */
export async function startPrefixProxy(prefix: string) {
  const child = fork(program, [prefix], { stdio: 'inherit' })
  const closed = once(child, 'close')
  const port = await new Promise<number>((resolve) => {
    child.once('message', (message: { port: number }) => resolve(message.port))
  })
  const outside: string[] = []
  child.on('message', (message: { outside: string }) => outside.push(message.outside))
  return {
    origin: `http://localhost:${port}`,
    outside,
    forwardTo: (target: string) => child.send({ target }),
    async close() {
      child.kill()
      await closed
    },
  }
}
