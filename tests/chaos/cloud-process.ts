import { spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { S3Client } from '@aws-sdk/client-s3'
import { GetQueueUrlCommand, SQSClient } from '@aws-sdk/client-sqs'

const program = fileURLToPath(import.meta.resolve('@millrace/local/cloud-main.ts'))
const exitWithParent = import.meta.resolve('@millrace/local/fleet/exit-with-parent.ts')

const identity = {
  region: 'us-east-1',
  credentials: { accessKeyId: 'MILLRACECHAOS', secretAccessKey: 'secret-of-the-chaos-run' },
}

export type CloudProcess = Awaited<ReturnType<typeof startCloudProcess>>

/**
 * Starts local S3 and SQS as a process of their own: in the process of the clients they would share its event loop.
 * No fault reaches the two clients that are returned.
 */
export async function startCloudProcess(options: { directory: string; logDirectory: string }) {
  const child = spawn(
    process.execPath,
    [
      ...['--import', exitWithParent, program],
      ...['--s3-port', '0', '--sqs-port', '0', '--data', options.directory],
    ],
    {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: {
        ...process.env,
        AWS_ACCESS_KEY_ID: identity.credentials.accessKeyId,
        AWS_SECRET_ACCESS_KEY: identity.credentials.secretAccessKey,
      },
    },
  )
  const { stdout, stderr } = child
  if (!stdout || !stderr) throw new Error('The local cloud has no output streams.')
  const log = createWriteStream(join(options.logDirectory, 'cloud.log'))
  stderr.pipe(log)
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const variables = new Map<string, string>()
  for await (const line of createInterface({ input: stdout })) {
    if (line === 'The local cloud is ready.') break
    const [name = '', ...value] = line.split('=')
    variables.set(name, value.join('='))
  }
  const variable = (name: string) => {
    const value = variables.get(name)
    if (value === undefined) throw new Error(`The local cloud did not print ${name}; see ${log.path}.`)
    return value
  }
  const s3Endpoint = variable('AWS_ENDPOINT_URL_S3')
  const sqsEndpoint = variable('AWS_ENDPOINT_URL_SQS')
  const s3 = new S3Client({ endpoint: s3Endpoint, ...identity })
  const sqs = new SQSClient({ endpoint: sqsEndpoint, ...identity })
  const dead = await sqs.send(new GetQueueUrlCommand({ QueueName: 'millrace-events-dead' }))
  return {
    s3,
    sqs,
    s3Endpoint,
    sqsEndpoint,
    bucket: variable('BUCKET'),
    queueUrl: variable('EVENTS_QUEUE_URL'),
    deadLetterQueueUrl: new URL(new URL(dead.QueueUrl ?? '').pathname, sqsEndpoint).href,
    /** Variables of the services. The endpoints are those of a proxy, one for each service. */
    environment: {
      AWS_REGION: identity.region,
      AWS_ACCESS_KEY_ID: identity.credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: identity.credentials.secretAccessKey,
      BUCKET: variable('BUCKET'),
    },
    async close(): Promise<void> {
      s3.destroy()
      sqs.destroy()
      child.kill('SIGTERM')
      await ended
    },
  }
}
