import {
  type CORSRule,
  GetBucketCorsCommand,
  GetBucketEncryptionCommand,
  GetBucketLifecycleConfigurationCommand,
  GetBucketNotificationConfigurationCommand,
  GetBucketVersioningCommand,
  GetPublicAccessBlockCommand,
  HeadBucketCommand,
  type LifecycleRule,
  type QueueConfiguration,
  type S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3'
import { editsPrefix, erasuresPrefix, originalsPrefix } from '@millrace/shared/ledger/object-keys.ts'
import { openUploadLifeMs } from '@millrace/shared/uploads/upload.ts'
import { type Check, error, type Finding, note, ok, warning } from './finding.ts'

const dayMs = 24 * 60 * 60 * 1000
/** S3's events that the services need (docs/architecture.md). Without the last two, only the daily sweep sees such objects. */
const announcedPrefixes = [originalsPrefix, erasuresPrefix, editsPrefix]
/** What a browser sends to the bucket: parts by PUT, forms by POST, and it reads variants. */
const browserMethods = ['GET', 'PUT', 'POST']

/**
 * The checks of the bucket's own settings.
 *
 * @param deps.origin of the pages that send files; undefined: it is not known, and any allowed origin is accepted
 * @param deps.queueArn of the queue that receives the bucket's events
 * @param deps.isLocal whether it is the bucket of `npm start`, where nothing expires by age
 */
export function bucketChecks(deps: {
  s3: S3Client
  bucket: string
  origin: string | undefined
  queueArn: () => Promise<string>
  isLocal: boolean
}): Check[] {
  const { s3, bucket: Bucket, origin, queueArn, isLocal } = deps
  return [
    {
      name: 'bucket',
      async run(abortSignal) {
        try {
          await s3.send(new HeadBucketCommand({ Bucket }), { abortSignal })
          return [ok('The bucket exists.')]
        } catch (failure) {
          if (!(failure instanceof S3ServiceException && failure.name === 'NotFound')) throw failure
          return [
            error(`There is no bucket ${Bucket}.`, 'Deploy the stage, or correct BUCKET or AWS_REGION.'),
          ]
        }
      },
    },
    {
      name: 'bucket-versioning',
      async run(abortSignal) {
        const { Status } = await s3.send(new GetBucketVersioningCommand({ Bucket }), { abortSignal })
        if (Status === 'Enabled') return [ok('The bucket keeps versions.')]
        return [
          error(
            `The bucket keeps no versions (${Status ?? 'never enabled'}): bytes that were not inspected could be served.`,
            `aws s3api put-bucket-versioning --bucket ${Bucket} --versioning-configuration Status=Enabled`,
          ),
        ]
      },
    },
    {
      name: 'bucket-cors',
      async run(abortSignal) {
        const rules = await unlessMissing('NoSuchCORSConfiguration', [], async () => {
          const response = await s3.send(new GetBucketCorsCommand({ Bucket }), { abortSignal })
          return response.CORSRules ?? []
        })
        return corsFindings(rules, origin)
      },
    },
    {
      name: 'bucket-notification',
      async run(abortSignal) {
        const command = new GetBucketNotificationConfigurationCommand({ Bucket })
        const { QueueConfigurations = [] } = await s3.send(command, { abortSignal })
        return notificationFindings(QueueConfigurations, await queueArn())
      },
    },
    {
      name: 'bucket-lifecycle',
      async run(abortSignal) {
        if (isLocal)
          return [note('Nothing expires by age on this machine; workers delete what is unfinished.')]
        const rules = await unlessMissing('NoSuchLifecycleConfiguration', [], async () => {
          const command = new GetBucketLifecycleConfigurationCommand({ Bucket })
          return (await s3.send(command, { abortSignal })).Rules ?? []
        })
        return lifecycleFindings(rules)
      },
    },
    {
      name: 'bucket-encryption',
      async run(abortSignal) {
        const rules = await unlessMissing('ServerSideEncryptionConfigurationNotFoundError', [], async () => {
          const response = await s3.send(new GetBucketEncryptionCommand({ Bucket }), { abortSignal })
          return response.ServerSideEncryptionConfiguration?.Rules ?? []
        })
        const algorithm = rules[0]?.ApplyServerSideEncryptionByDefault?.SSEAlgorithm
        if (algorithm) return [ok(`Objects are encrypted by default (${algorithm}).`)]
        return [
          error(
            'Objects are not encrypted by default.',
            'Set default encryption of the bucket (SSE-S3 or SSE-KMS).',
          ),
        ]
      },
    },
    {
      name: 'bucket-public-access',
      async run(abortSignal) {
        const block = await unlessMissing('NoSuchPublicAccessBlockConfiguration', undefined, async () => {
          const response = await s3.send(new GetPublicAccessBlockCommand({ Bucket }), { abortSignal })
          return response.PublicAccessBlockConfiguration
        })
        const open = Object.entries({
          BlockPublicAcls: block?.BlockPublicAcls,
          IgnorePublicAcls: block?.IgnorePublicAcls,
          BlockPublicPolicy: block?.BlockPublicPolicy,
          RestrictPublicBuckets: block?.RestrictPublicBuckets,
        }).flatMap(([name, isOn]) => (isOn === true ? [] : [name]))
        if (open.length === 0) return [ok('The bucket cannot be made public.')]
        return [
          error(
            `The bucket could be made public: ${open.join(', ')} ${open.length === 1 ? 'is' : 'are'} off.`,
            `aws s3api put-public-access-block --bucket ${Bucket} --public-access-block-configuration BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true`,
          ),
        ]
      },
    },
  ]
}

/** Returns what S3 answers, or a value if S3 says that there is no such configuration. */
async function unlessMissing<T>(code: string, missing: T, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (failure) {
    if (failure instanceof S3ServiceException && failure.name === code) return missing
    throw failure
  }
}

function corsFindings(rules: readonly CORSRule[], origin: string | undefined): Finding[] {
  const ofOrigin = rules.filter(({ AllowedOrigins = [] }) =>
    AllowedOrigins.some((pattern) => (origin === undefined ? pattern !== 'null' : matches(pattern, origin))),
  )
  const whose = origin ?? 'any page'
  const remedy = 'Deploy again, or set the rule of docs/origins.md with `aws s3api put-bucket-cors`.'
  if (ofOrigin.length === 0) {
    return [error(`The bucket refuses files from pages of ${whose} (CORS).`, remedy)]
  }
  const allowed = new Set(ofOrigin.flatMap(({ AllowedMethods = [] }) => AllowedMethods))
  const missing = browserMethods.filter((method) => !allowed.has(method))
  const findings: Finding[] = []
  if (missing.length > 0) {
    findings.push(error(`The bucket refuses ${missing.join(', ')} from pages of ${whose} (CORS).`, remedy))
  }
  const exposed = ofOrigin.flatMap(({ ExposeHeaders = [] }) =>
    ExposeHeaders.map((name) => name.toLowerCase()),
  )
  if (!exposed.includes('etag')) {
    findings.push(
      error('Pages cannot read ETag, so they cannot complete files in parts (CORS ExposeHeaders).', remedy),
    )
  }
  return findings.length > 0 ? findings : [ok(`Pages of ${whose} may send files to the bucket (CORS).`)]
}

/** S3's patterns have at most one `*`, which stands for any text. */
function matches(pattern: string, origin: string): boolean {
  const [start = '', end] = pattern.split('*')
  if (end === undefined) return pattern === origin
  return origin.length >= start.length + end.length && origin.startsWith(start) && origin.endsWith(end)
}

function notificationFindings(configurations: readonly QueueConfiguration[], queueArn: string): Finding[] {
  const covered = configurations.flatMap(({ QueueArn, Events = [], Filter }) => {
    const isComplete = Events.some((event) => event === 's3:ObjectCreated:*')
    if (QueueArn !== queueArn || !isComplete) return []
    const rule = Filter?.Key?.FilterRules?.find(({ Name }) => Name?.toLowerCase() === 'prefix')
    return [rule?.Value ?? '']
  })
  const missing = announcedPrefixes.filter((prefix) => !covered.some((start) => prefix.startsWith(start)))
  if (missing.length === 0) return [ok('S3 sends the events of new objects to the queue.')]
  return [
    error(
      `S3 sends no events of new objects under ${missing.join(', ')} to the queue: such uploads wait for the daily sweep.`,
      'Deploy again. If the notification was replaced by another one, add ours (s3:ObjectCreated:* to the events queue, one for each prefix).',
    ),
  ]
}

function lifecycleFindings(rules: readonly LifecycleRule[]): Finding[] {
  const enabled = rules.filter(({ Status }) => Status === 'Enabled')
  const wanted = openUploadLifeMs / dayMs
  const remedy = 'Deploy again, or add the rule to the bucket’s lifecycle (docs/deploy.md, stacks/bucket.ts).'
  const findings: Finding[] = []
  const aborts = enabled.flatMap(({ AbortIncompleteMultipartUpload }) =>
    AbortIncompleteMultipartUpload?.DaysAfterInitiation === undefined
      ? []
      : [AbortIncompleteMultipartUpload.DaysAfterInitiation],
  )
  const earliest = Math.min(...aborts)
  if (aborts.length === 0) {
    findings.push(
      warning('No rule aborts unfinished multipart uploads: their parts are kept and billed.', remedy),
    )
  } else if (earliest < wanted) {
    findings.push(
      error(
        `A rule aborts multipart uploads after ${earliest} days; they can be resumed for ${wanted} days.`,
        remedy,
      ),
    )
  }
  if (!enabled.some(({ NoncurrentVersionExpiration }) => NoncurrentVersionExpiration !== undefined)) {
    findings.push(
      warning('No rule expires replaced versions: everything deleted is kept and billed.', remedy),
    )
  }
  const expires = enabled.find(
    ({ Expiration, Filter }) =>
      Expiration?.Days !== undefined && [originalsPrefix, ''].includes(Filter?.Prefix ?? ''),
  )
  if (expires) {
    findings.push(
      error(
        `The rule ${expires.ID ?? 'without a name'} deletes originals after ${expires.Expiration?.Days} days.`,
        'Remove the rule, or limit it to a prefix that Millrace does not use.',
      ),
    )
  }
  return findings.length > 0 ? findings : [ok('Unfinished parts and replaced versions expire.')]
}
