import { once } from 'node:events'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'

/**
 * Waits for a command that any client sends to Redis (MONITOR). It uses its own socket: ioredis' monitor throws outside
 * of any call if Redis sends a line while it disconnects, and other tests send many commands.
 *
 * @param url `redis://`
 * @param matches receives the words of each command of any client
 * @returns after Redis has started to send commands: `seen` resolves at the first one that matches
 */
export async function watchForCommand(
  url: string,
  matches: (words: string[]) => boolean,
): Promise<{ seen: Promise<void> }> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  const lines = createInterface({ input: socket })
  const isWatching = once(lines, 'line')
  socket.write('MONITOR\r\n')
  await isWatching
  const { promise: seen, resolve } = Promise.withResolvers<void>()
  lines.on('line', (line) => {
    if (!matches([...line.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, word = '']) => word))) return
    socket.destroy()
    resolve()
  })
  return { seen }
}
