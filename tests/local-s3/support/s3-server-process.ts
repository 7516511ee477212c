import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { createS3Server } from '@millrace/local-s3/s3-server.ts'
import { createClient, localCredentials, localRegion } from './contract-target.ts'

/*
 * A local S3 server in its own process, so that tests can kill or measure it. This file has two uses: when imported,
 * it starts the process; when forked, it is the process.
 */

type Message = { endpoint?: string; peakRssMebibytes?: number }

/** Delivery that always fails, so that events stay in the server's directory. */
const failDelivery = () => Promise.reject(new Error('the queue is down'))

if (process.send !== undefined && process.argv[1] === fileURLToPath(import.meta.url)) {
  const server = await createS3Server({
    directory: process.argv[2] ?? '',
    region: localRegion,
    credentials: localCredentials,
    deliver: failDelivery,
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
 * @throws Error if the process exits before it listens
 */
export async function startServerProcess(directory: string) {
  const child = fork(fileURLToPath(import.meta.url), [directory], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const exited = once(child, 'exit')
  const { endpoint } = await Promise.race([
    nextMessage(child),
    exited.then(() => Promise.reject(new Error('the server process exited before it listened'))),
  ])
  if (endpoint === undefined) throw new Error('the server process sent no endpoint')
  const client = createClient({ endpoint, region: localRegion, credentials: localCredentials })
  return {
    endpoint,
    client,
    /** Returns the peak memory of the process in MiB. */
    async peakRssMebibytes(): Promise<number> {
      child.send('report')
      return (await nextMessage(child)).peakRssMebibytes ?? Number.NaN
    },
    /** Kills the process with SIGKILL, so that it cannot clean up. */
    async kill() {
      client.destroy()
      child.kill('SIGKILL')
      await exited
    },
  }
}
