import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { createS3Server } from '@millrace/local-s3/s3-server.ts'
import { createClient, localCredentials, localRegion } from './contract-target.ts'

/*
 * A local S3 server in a process of its own, to be killed or measured. This file is both: imported, it starts
 * the process; forked, it is the process.
 */

type Message = { endpoint?: string; peakRssMebibytes?: number }

/** Event delivery that never succeeds, so that events stay in the server's directory. */
const undeliverable = () => Promise.reject(new Error('the queue is down'))

if (process.send !== undefined && process.argv[1] === fileURLToPath(import.meta.url)) {
  const server = await createS3Server({
    directory: process.argv[2] ?? '',
    region: localRegion,
    credentials: localCredentials,
    deliver: undeliverable,
  })
  const send = (message: Message) => process.send?.(message)
  process.on('message', () => send({ peakRssMebibytes: process.resourceUsage().maxRSS / 1024 }))
  process.on('disconnect', () => process.exit())
  send({ endpoint: server.endpoint })
}

async function nextMessage(child: ChildProcess): Promise<Message> {
  const [message] = await once(child, 'message')
  return message
}

/**
 * Starts a server on a directory.
 *
 * @throws Error when the process ends before it serves
 */
export async function startServerProcess(directory: string) {
  const child = fork(fileURLToPath(import.meta.url), [directory], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const exited = once(child, 'exit')
  const { endpoint } = await Promise.race([
    nextMessage(child),
    exited.then(() => Promise.reject(new Error('the server process ended'))),
  ])
  if (endpoint === undefined) throw new Error('the server process has no endpoint')
  const client = createClient({ endpoint, region: localRegion, credentials: localCredentials })
  return {
    endpoint,
    client,
    /** The most memory that the process ever had, in MiB. */
    async peakRssMebibytes(): Promise<number> {
      child.send('report')
      return (await nextMessage(child)).peakRssMebibytes ?? Number.NaN
    },
    /** Ends the process as a power button would: SIGKILL, no clean-up. */
    async kill() {
      client.destroy()
      child.kill('SIGKILL')
      await exited
    },
  }
}
