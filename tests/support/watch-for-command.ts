import { once } from 'node:events'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'

/**
 * Waits for a command that somebody sends to Redis (MONITOR). By a socket of its own: ioredis' monitor throws, outside
 * of any call, at what Redis tells it while it disconnects, and other tests have much to tell.
 *
 * @param url `redis://`
 * @param isMeant gets the words of each command, whoever sends it
 * @returns once Redis tells of commands: a promise of the first one that is meant
 */
export async function watchForCommand(
  url: string,
  isMeant: (words: string[]) => boolean,
): Promise<{ seen: Promise<void> }> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  const lines = createInterface({ input: socket })
  const isWatching = once(lines, 'line')
  socket.write('MONITOR\r\n')
  await isWatching
  const { promise: seen, resolve } = Promise.withResolvers<void>()
  lines.on('line', (line) => {
    if (!isMeant([...line.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, word = '']) => word))) return
    socket.destroy()
    resolve()
  })
  return { seen }
}
