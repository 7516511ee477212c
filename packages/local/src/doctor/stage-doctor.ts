import { ElastiCacheClient } from '@aws-sdk/client-elasticache'
import { IAMClient } from '@aws-sdk/client-iam'
import { S3Client } from '@aws-sdk/client-s3'
import { SQSClient } from '@aws-sdk/client-sqs'
import { apiChecks } from './api-checks.ts'
import { bucketChecks } from './bucket-checks.ts'
import { clockChecks } from './clock-checks.ts'
import type { Doctor } from './doctor.ts'
import { elasticacheChecks } from './elasticache-checks.ts'
import { presetsCheck } from './machine-checks.ts'
import { queueArnOf, queueChecks } from './queue-checks.ts'
import { roleChecks } from './role-checks.ts'
import { findStage } from './stage-target.ts'

/**
 * Creates the checks of a stage, with the credentials of whoever runs them. What lies in the stage's private network is
 * checked by what AWS tells of it.
 *
 * @param options.origin of the API; undefined: the API is not asked
 * @throws StartError if there is no such stage
 */
export async function createStageDoctor(options: {
  stage: string
  region: string
  origin: string | undefined
  apiKey: string | undefined
  presets: { PRESETS_FILE?: string | undefined; PRESETS?: string | undefined }
}): Promise<Doctor> {
  const { stage, region, origin, apiKey, presets } = options
  const where = { region, maxAttempts: 2 }
  const s3 = new S3Client(where)
  const sqs = new SQSClient(where)
  const elasticache = new ElastiCacheClient(where)
  const iam = new IAMClient(where)
  const close = () => {
    for (const client of [iam, elasticache, sqs, s3]) client.destroy()
  }
  try {
    const { bucket, queueUrl } = await findStage(sqs, stage, region)
    const queueArn = () => queueArnOf(sqs, queueUrl)
    return {
      checks: [
        presetsCheck(presets),
        ...elasticacheChecks({ elasticache, stage }),
        ...bucketChecks({ s3, bucket, origin: origin && new URL(origin).origin, queueArn, isLocal: false }),
        ...queueChecks({ sqs, queueUrl }),
        ...clockChecks({ s3, bucket }),
        ...roleChecks({ iam, stage, region, bucket, queueArn }),
        ...apiChecks({ origin, apiKey }),
      ],
      close,
    }
  } catch (failure) {
    close()
    throw failure
  }
}
