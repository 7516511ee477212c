import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  ListPartsCommand,
  NoSuchUpload,
  type S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3'
import { GetQueueAttributesCommand, ReceiveMessageCommand, type SQSClient } from '@aws-sdk/client-sqs'
import {
  apiKeysPrefix,
  editsPrefix,
  erasuresPrefix,
  manifestsPrefix,
  originalsPrefix,
  outboxPrefix,
  receiptsPrefix,
  revocationsPrefix,
  sweepPrefix,
  unfinishedPrefix,
  usagePrefix,
  userErasuresPrefix,
  usersPrefix,
  variantsPrefix,
  webhooksPrefix,
  withdrawnPrefix,
} from '@millrace/shared/ledger/object-keys.ts'
import { type Check, error, type Finding, ok } from './finding.ts'

/** No key of ours: keys under these prefixes have an owner. Nothing is left under it. */
const triedName = 'doctor'

/** What a process does under a prefix, in the names of IAM's actions without `s3:`. */
type Need = { prefix: string; actions: readonly ObjectAction[] }
type ObjectAction = keyof ReturnType<typeof createTrials>

const keep: readonly ObjectAction[] = ['GetObject', 'PutObject', 'DeleteObject']
const send: readonly ObjectAction[] = [
  'GetObject',
  'GetObjectVersion',
  'PutObject',
  'AbortMultipartUpload',
  'ListMultipartUploadParts',
  'DeleteObject',
  'DeleteObjectVersion',
]

/** What each process needs of the bucket's objects. A test compares it with the roles that the deploy creates. */
export const objectNeeds: Record<'api' | 'worker', readonly Need[]> = {
  api: [
    { prefix: originalsPrefix, actions: send },
    { prefix: unfinishedPrefix, actions: [...keep, 'DeleteObjectVersion'] },
    { prefix: variantsPrefix, actions: ['GetObject', 'DeleteObjectVersion'] },
    { prefix: manifestsPrefix, actions: ['GetObject', 'DeleteObjectVersion'] },
    { prefix: erasuresPrefix, actions: ['GetObject', 'PutObject'] },
    { prefix: editsPrefix, actions: [...keep, 'DeleteObjectVersion'] },
    ...[apiKeysPrefix, webhooksPrefix, userErasuresPrefix, usagePrefix].map((prefix) => ({
      prefix,
      actions: keep,
    })),
    { prefix: usersPrefix, actions: ['GetObject', 'PutObject', 'DeleteObjectVersion'] },
    { prefix: receiptsPrefix, actions: ['GetObject', 'PutObject'] },
    { prefix: revocationsPrefix, actions: ['PutObject'] },
    { prefix: outboxPrefix, actions: ['PutObject'] },
    { prefix: withdrawnPrefix, actions: ['PutObject'] },
  ],
  worker: [
    { prefix: originalsPrefix, actions: send },
    { prefix: unfinishedPrefix, actions: ['GetObject', 'DeleteObjectVersion'] },
    { prefix: variantsPrefix, actions: ['PutObject', 'DeleteObjectVersion'] },
    { prefix: manifestsPrefix, actions: ['GetObject', 'PutObject', 'DeleteObjectVersion'] },
    { prefix: erasuresPrefix, actions: ['GetObject'] },
    { prefix: editsPrefix, actions: ['GetObject', 'DeleteObject', 'DeleteObjectVersion'] },
    { prefix: sweepPrefix, actions: ['GetObject', 'PutObject'] },
    { prefix: withdrawnPrefix, actions: keep },
    { prefix: usersPrefix, actions: ['GetObject'] },
    { prefix: webhooksPrefix, actions: ['GetObject', 'PutObject'] },
    { prefix: outboxPrefix, actions: keep },
  ],
}

/**
 * The checks of what the credentials in use may do: each action that a process needs is tried, one by one, with a request
 * that leaves nothing behind and sends no event to workers.
 */
export function permissionChecks(deps: {
  s3: S3Client
  sqs: SQSClient
  bucket: string
  queueUrl: string
}): Check[] {
  const { s3, sqs, bucket, queueUrl } = deps
  return [
    {
      name: 'bucket-permissions',
      run: (signal) => tryAll('list the bucket', createBucketTrials({ s3, bucket, signal })),
    },
    ...(['api', 'worker'] as const).map(
      (process): Check => ({
        name: `${process}-permissions`,
        async run(signal) {
          const trials = objectNeeds[process].flatMap(({ prefix, actions }) => {
            const tried = createTrials({ s3, bucket, key: `${prefix}${triedName}`, signal })
            return actions.map((action) => [`s3:${action} on ${prefix}*`, tried[action]] as const)
          })
          const name = process === 'api' ? 'the API' : 'workers'
          return tryAll(
            `do what ${name} need${process === 'api' ? 's' : ''} in the bucket`,
            Object.fromEntries(trials),
          )
        },
      }),
    ),
    {
      name: 'queue-permissions',
      run: (signal) => tryAll('read the queue', createQueueTrials({ sqs, queueUrl, signal })),
    },
  ]
}

/** @param trials by the permission's name; each rejects with an access error if it is not granted */
async function tryAll(what: string, trials: Record<string, () => Promise<unknown>>): Promise<Finding[]> {
  const denied: string[] = []
  for (const [permission, attempt] of Object.entries(trials)) {
    try {
      await attempt()
    } catch (failure) {
      if (!isDenied(failure)) throw failure
      denied.push(permission)
    }
  }
  if (denied.length === 0) return [ok(`The credentials in use may ${what}.`)]
  return denied.map((permission) =>
    error(
      `The credentials in use lack ${permission}.`,
      'Deploy again, so that the roles are complete, or add the permission to the role.',
    ),
  )
}

function isDenied(failure: unknown): boolean {
  return failure instanceof Error && /AccessDenied|Forbidden|^403$|UnauthorizedAccess/.test(failure.name)
}

type Target = { s3: S3Client; bucket: string; signal: AbortSignal }

function createBucketTrials({ s3, bucket: Bucket, signal: abortSignal }: Target) {
  return {
    's3:ListBucket': () => s3.send(new ListObjectsV2Command({ Bucket, MaxKeys: 1 }), { abortSignal }),
    's3:ListBucketVersions': () =>
      s3.send(new ListObjectVersionsCommand({ Bucket, MaxKeys: 1 }), { abortSignal }),
    's3:ListBucketMultipartUploads': () =>
      s3.send(new ListMultipartUploadsCommand({ Bucket, MaxUploads: 1 }), { abortSignal }),
    's3:GetBucketVersioning': () => s3.send(new GetBucketVersioningCommand({ Bucket }), { abortSignal }),
  }
}

/** The requests that try one action each, on one key. */
function createTrials({ s3, bucket: Bucket, key: Key, signal: abortSignal }: Target & { key: string }) {
  /** S3 says that there is no such object or upload only to those who may know it. */
  const expectMissing = async (request: Promise<unknown>, names: readonly string[]) => {
    try {
      await request
    } catch (failure) {
      const isMissing =
        failure instanceof NoSuchUpload ||
        (failure instanceof S3ServiceException && names.includes(failure.name))
      if (!isMissing) throw failure
    }
  }
  /** Of the form that S3 gives, so that it is looked up. */
  const unknownUpload = { Bucket, Key, UploadId: 'doctor' }
  const unknownVersion = { Bucket, Key, VersionId: 'null' }
  const missingUpload = ['NoSuchUpload', 'InvalidArgument']
  return {
    GetObject: () =>
      expectMissing(s3.send(new GetObjectCommand({ Bucket, Key }), { abortSignal }), ['NoSuchKey']),
    GetObjectVersion: () =>
      expectMissing(s3.send(new GetObjectCommand(unknownVersion), { abortSignal }), [
        'NoSuchVersion',
        'NoSuchKey',
      ]),
    // Beginning an upload needs the right to write, and creates no object, so S3 sends no event.
    async PutObject() {
      const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key }), { abortSignal })
      // If this is denied, it is a finding of its own; the lifecycle rule aborts what is left.
      const abort = s3.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }), { abortSignal })
      await abort.catch((failure) => {
        if (!isDenied(failure)) throw failure
      })
    },
    AbortMultipartUpload: () =>
      expectMissing(s3.send(new AbortMultipartUploadCommand(unknownUpload), { abortSignal }), missingUpload),
    ListMultipartUploadParts: () =>
      expectMissing(s3.send(new ListPartsCommand(unknownUpload), { abortSignal }), missingUpload),
    // Leaves a delete marker, which is removed again if that is allowed.
    async DeleteObject() {
      const { VersionId } = await s3.send(new DeleteObjectCommand({ Bucket, Key }), { abortSignal })
      if (VersionId === undefined) return
      const remove = s3.send(new DeleteObjectCommand({ Bucket, Key, VersionId }), { abortSignal })
      await remove.catch((failure) => {
        if (!isDenied(failure)) throw failure
      })
    },
    DeleteObjectVersion: () =>
      expectMissing(s3.send(new DeleteObjectCommand(unknownVersion), { abortSignal }), ['NoSuchVersion']),
  }
}

function createQueueTrials(deps: { sqs: SQSClient; queueUrl: string; signal: AbortSignal }) {
  const { sqs, queueUrl: QueueUrl, signal: abortSignal } = deps
  return {
    'sqs:GetQueueAttributes': () =>
      sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['QueueArn'] }), { abortSignal }),
    // With a visibility timeout of 0, workers get the message at once, as if nobody had received it.
    'sqs:ReceiveMessage': () =>
      sqs.send(
        new ReceiveMessageCommand({
          QueueUrl,
          MaxNumberOfMessages: 1,
          VisibilityTimeout: 0,
          WaitTimeSeconds: 0,
        }),
        { abortSignal },
      ),
  }
}
