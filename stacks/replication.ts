import {
  apiKeysPrefix,
  editsPrefix,
  erasuresPrefix,
  manifestsPrefix,
  originalsPrefix,
  receiptsPrefix,
  revocationsPrefix,
  usersPrefix,
  variantsPrefix,
  webhooksPrefix,
} from '@millrace/shared/ledger/object-keys.ts'
import type { Bucket } from './bucket.ts'
import type { EncryptionKey } from './encryption-key.ts'
import type { Place } from './place.ts'

type Ledger = { place: Place; bucket: Bucket; key: EncryptionKey; role: aws.iam.Role }

/**
 * Prefixes that S3 copies. Not unfinished/, with the announcements of files in parts and the bytes that tus keeps between
 * two requests: S3 does not copy parts, so an upload continues in the region where it began. Not outbox/: each region delivers
 * the events that began there, so that a webhook gets them once.
 */
const copiedPrefixes = [
  originalsPrefix,
  manifestsPrefix,
  variantsPrefix,
  erasuresPrefix,
  editsPrefix,
  apiKeysPrefix,
  usersPrefix,
  webhooksPrefix,
  revocationsPrefix,
  receiptsPrefix,
]

/** Creates the role with which S3 copies from a region, without rights: the policies of all buckets name it. */
export function createReplicationRole(place: Place) {
  return new aws.iam.Role(
    place.id('ReplicationRole'),
    {
      assumeRolePolicy: JSON.stringify({
        Version: '2012-10-17',
        Statement: [
          { Effect: 'Allow', Principal: { Service: 's3.amazonaws.com' }, Action: 'sts:AssumeRole' },
        ],
      }),
      // As in roles.ts.
      name: place.name(`replication-${place.region}`),
      description: `S3 copies from ${place.region}`,
    },
    place.options,
  )
}

/**
 * Makes S3 copy originals, variants, manifests and edits from every bucket to all others, so that each region can serve and
 * rebuild everything, and what is of tenants, so that a tenant is the same in each. S3 does not copy the deletion of
 * versions; erasure markers under erasures/ announce it
 * (docs/decisions/0018-replicate-objects-between-regions.md).
 */
export function replicateLedgers(ledgers: Ledger[]) {
  for (const source of ledgers) {
    const others = ledgers.filter((ledger) => ledger !== source)
    replicate(source, others)
  }
}

function replicate({ place, bucket, key, role }: Ledger, destinations: Ledger[]) {
  const policy = new aws.iam.RolePolicy(
    place.id('ReplicationPolicy'),
    {
      role: role.name,
      policy: $jsonStringify({
        Version: '2012-10-17',
        Statement: [
          {
            Effect: 'Allow',
            Action: ['s3:GetReplicationConfiguration', 's3:ListBucket'],
            Resource: bucket.arn,
          },
          {
            Effect: 'Allow',
            Action: [
              's3:GetObjectVersionForReplication',
              's3:GetObjectVersionAcl',
              's3:GetObjectVersionTagging',
            ],
            Resource: $interpolate`${bucket.arn}/*`,
          },
          {
            Effect: 'Allow',
            Action: ['s3:ReplicateObject', 's3:ReplicateDelete', 's3:ReplicateTags'],
            Resource: destinations.map((to) => $interpolate`${to.bucket.arn}/*`),
          },
          { Effect: 'Allow', Action: ['kms:Decrypt'], Resource: key.arn },
          {
            Effect: 'Allow',
            Action: ['kms:Encrypt', 'kms:GenerateDataKey'],
            Resource: destinations.map((to) => to.key.arn),
          },
        ],
      }),
    },
    place.options,
  )
  new aws.s3.BucketReplicationConfig(
    place.id('Replication'),
    {
      bucket: bucket.name,
      role: role.arn,
      rules: destinations.flatMap((to, destination) =>
        copiedPrefixes.map((prefix, index) => ({
          id: `${prefix.slice(0, -1)}-to-${to.place.region}`,
          // S3 requires a unique priority for each rule.
          priority: destination * copiedPrefixes.length + index + 1,
          status: 'Enabled',
          filter: { prefix },
          deleteMarkerReplication: { status: 'Enabled' },
          sourceSelectionCriteria: {
            replicaModifications: { status: 'Enabled' },
            sseKmsEncryptedObjects: { status: 'Enabled' },
          },
          destination: {
            bucket: to.bucket.arn,
            encryptionConfiguration: { replicaKmsKeyId: to.key.arn },
            metrics: { status: 'Enabled' },
          },
        })),
      ),
    },
    // S3 requires versioning on both sides. SST returns a bucket after it has enabled versioning.
    { ...place.options, dependsOn: [policy, ...destinations.map((to) => to.bucket), bucket] },
  )
}
