import { parseArgs } from 'node:util'
import { startLocalCloud } from './cloud/local-cloud.ts'
import { createDataDirectory } from './setup/data-directory.ts'
import { readLocalOrigins } from './setup/local-origins.ts'
import { privateUmask } from './setup/private-files.ts'

/**
 * Runs the local cloud (S3 and SQS) alone, for services that are started separately, such as those in compose.yaml.
 * Presigned URLs contain the address of S3, so it must be the same inside and outside of the containers; otherwise
 * set `S3_PUBLIC_ENDPOINT`. Pages of `--origin` and of ALLOWED_ORIGINS may use the bucket.
 */
const { values } = parseArgs({
  options: {
    host: { type: 'string', default: '127.0.0.1' },
    's3-port': { type: 'string', default: '9000' },
    'sqs-port': { type: 'string', default: '9324' },
    data: { type: 'string', default: '.millrace' },
    origin: { type: 'string', multiple: true, default: ['http://localhost:3000', 'http://127.0.0.1:3000'] },
  },
})
const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = process.env

process.umask(privateUmask)
createDataDirectory(values.data)
const cloud = await startLocalCloud({
  directory: values.data,
  redisUrl: '',
  origins: values.origin,
  allowedOrigins: readLocalOrigins(process.env),
  host: values.host,
  s3Port: Number(values['s3-port']),
  sqsPort: Number(values['sqs-port']),
  ...(accessKeyId && secretAccessKey && { credentials: { accessKeyId, secretAccessKey } }),
})
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void cloud.close())
const { AWS_SECRET_ACCESS_KEY: _secret, REDIS_URL: _redis, ...printable } = cloud.environment
for (const [name, value] of Object.entries(printable)) process.stdout.write(`${name}=${value}\n`)
process.stdout.write('The local cloud is ready.\n')
