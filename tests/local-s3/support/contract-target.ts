import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { S3 } from '@aws-sdk/client-s3'
import { createS3Server } from '@millrace/local-s3/s3-server.ts'

/*
 * The target of the contract suite: a local S3 server that it starts, or real AWS if MILLRACE_S3_CONTRACT_BUCKET is
 * the name of a bucket and the AWS SDK finds credentials and a region. On AWS the suite writes under its own prefix,
 * which it empties at the end, and replaces the bucket's CORS configuration. Use a bucket that has no other purpose.
 * Files named *.local.test.ts run only locally: they test files on disk, processes and event delivery.
 */

export type Credentials = { accessKeyId: string; secretAccessKey: string; sessionToken?: string | undefined }
export type ContractTarget = Awaited<ReturnType<typeof openContractTarget>>

export const localRegion = 'eu-central-1'
export const localCredentials: Credentials = {
  accessKeyId: 'AKIDLOCALCONTRACT',
  secretAccessKey: 'contract/secret+key',
}

/** Accepts queue messages in suites that do not test them. */
const discardMessage = async () => undefined

/**
 * Creates a client with path-style addresses and without retries, so that each error reaches the test.
 *
 * @param options.checksums `WHEN_SUPPORTED`: the SDK's default, a CRC32 with each upload; `WHEN_REQUIRED`: none
 */
export function createClient(options: {
  endpoint: string
  region: string
  credentials: Credentials
  checksums?: 'WHEN_SUPPORTED' | 'WHEN_REQUIRED'
}) {
  const { endpoint, region, checksums = 'WHEN_SUPPORTED' } = options
  const { accessKeyId, secretAccessKey, sessionToken } = options.credentials
  return new S3({
    endpoint,
    region,
    credentials: { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) },
    forcePathStyle: true,
    maxAttempts: 1,
    requestChecksumCalculation: checksums,
    responseChecksumValidation: checksums,
  })
}

/**
 * Opens the target for one test file: a bucket, and a key prefix that no other run uses.
 *
 * @throws Error if MILLRACE_S3_CONTRACT_BUCKET is set but the SDK finds no credentials
 */
export async function openContractTarget(
  options: { deliver?: (queueArn: string, body: string) => Promise<void>; bodyTimeoutMs?: number } = {},
) {
  const awsBucket = process.env['MILLRACE_S3_CONTRACT_BUCKET']
  const prefix = `contract-${randomBytes(6).toString('hex')}/`
  if (awsBucket) {
    const region = process.env['AWS_REGION'] ?? 'us-east-1'
    const credentials: Credentials = await new S3({ region }).config.credentials()
    const endpoint = `https://s3.${region}.amazonaws.com`
    const client = createClient({ endpoint, region, credentials })
    return {
      client,
      /** A second client that sends no checksums, as presigners do. */
      plainClient: createClient({ endpoint, region, credentials, checksums: 'WHEN_REQUIRED' }),
      bucket: awsBucket,
      prefix,
      endpoint,
      region,
      credentials,
      isLocal: false,
      directory: '',
      async close() {
        await emptyPrefix(client, awsBucket, prefix)
        client.destroy()
      },
    }
  }

  const directory = await mkdtemp(join(tmpdir(), 'millrace-s3-'))
  const server = await createS3Server({
    directory,
    region: localRegion,
    credentials: localCredentials,
    deliver: discardMessage,
    ...options,
  })
  const { endpoint } = server
  const client = createClient({ endpoint, region: localRegion, credentials: localCredentials })
  const plainClient = createClient({
    endpoint,
    region: localRegion,
    credentials: localCredentials,
    checksums: 'WHEN_REQUIRED',
  })
  const bucket = 'contract-bucket'
  await client.createBucket({
    Bucket: bucket,
    CreateBucketConfiguration: { LocationConstraint: localRegion },
  })
  return {
    client,
    plainClient,
    bucket,
    prefix,
    endpoint,
    region: localRegion,
    credentials: localCredentials,
    isLocal: true,
    directory,
    async close() {
      client.destroy()
      plainClient.destroy()
      await server.close()
      await rm(directory, { recursive: true })
    },
  }
}

async function emptyPrefix(client: S3, bucket: string, prefix: string) {
  for (;;) {
    const { Contents = [] } = await client.listObjectsV2({ Bucket: bucket, Prefix: prefix })
    if (Contents.length === 0) break
    await client.deleteObjects({ Bucket: bucket, Delete: { Objects: Contents.map(({ Key }) => ({ Key })) } })
  }
  const { Uploads = [] } = await client.listMultipartUploads({ Bucket: bucket, Prefix: prefix })
  for (const { Key, UploadId } of Uploads) {
    await client.abortMultipartUpload({ Bucket: bucket, Key, UploadId })
  }
}
