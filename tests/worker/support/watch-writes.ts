import { once } from 'node:events'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import type { S3Client } from '@aws-sdk/client-s3'

/** Redis commands that change nothing, as sent by any client. Scripts are judged by the commands that they call. */
const reads = new Set(
  [
    'info client hello ping select multi exec eval evalsha script command monitor',
    'get hget hmget hgetall exists pttl ttl type zcard zrange zrangebyscore zscore lrange lindex llen lpos scan time',
  ].flatMap((names) => names.split(' ')),
)

/**
 * Records what changes Redis (MONITOR) and S3 while some work is done.
 *
 * @param url `redis://` of a server that nobody else uses
 * @returns `changes`, after the work, as `SET key` or `PutObjectCommand key`, and `requests`: the names of all S3 requests
 */
export async function watchWrites(url: string, s3: S3Client, work: () => Promise<void>) {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  const lines = createInterface({ input: socket })
  const isWatching = once(lines, 'line')
  socket.write('MONITOR\r\n')
  await isWatching
  const changes: string[] = []
  const requests: string[] = []
  const marker = `end-of-work-${process.pid}`
  const ended = Promise.withResolvers<void>()
  lines.on('line', (line) => {
    const [name = '', key = ''] = [...line.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, word = '']) => word)
    if (key === marker) ended.resolve()
    else if (name !== '' && !reads.has(name.toLowerCase())) changes.push(`${name.toUpperCase()} ${key}`)
  })
  s3.middlewareStack.add(
    (next, context) => (args) => {
      const name = String(context['commandName'])
      requests.push(name)
      const key = 'Key' in args.input ? String(args.input.Key) : ''
      if (/^(Put|Delete|Copy|Create|Abort|Complete)/.test(name)) changes.push(`${name} ${key}`)
      return next(args)
    },
    { step: 'initialize', name: 'watchWrites' },
  )
  try {
    await work()
    const last = connect(Number(port), hostname)
    last.end(`GET ${marker}\r\n`)
    await ended.promise
    last.destroy()
  } finally {
    s3.middlewareStack.remove('watchWrites')
    socket.destroy()
  }
  return { changes, requests }
}
