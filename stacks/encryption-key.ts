import type { Place } from './place.ts'

/**
 * Creates the region's key for data at rest. Only instances' disks use a key of AWS.
 *
 * The key's policy names the services that act without a role of ours (S3's notifications, alarms, logs) and limits them
 * to this account. Every other principal needs a policy of its own.
 */
export function createEncryptionKey({ place, accountId }: { place: Place; accountId: $util.Input<string> }) {
  const { region } = place
  const policy = $util.output(accountId).apply((account) =>
    JSON.stringify({
      Version: '2012-10-17',
      Statement: [
        {
          Sid: 'Account',
          Effect: 'Allow',
          Principal: { AWS: `arn:aws:iam::${account}:root` },
          Action: 'kms:*',
          Resource: '*',
        },
        {
          // S3 sends the source bucket to the queue, whose policy checks it, but not to KMS (S3 User Guide, "Granting
          // permissions to publish event notification messages").
          Sid: 'NotificationsOfOriginals',
          Effect: 'Allow',
          Principal: { Service: 's3.amazonaws.com' },
          Action: ['kms:GenerateDataKey', 'kms:Decrypt'],
          Resource: '*',
        },
        {
          Sid: 'AlarmsAndBudget',
          Effect: 'Allow',
          Principal: { Service: ['cloudwatch.amazonaws.com', 'budgets.amazonaws.com'] },
          Action: ['kms:GenerateDataKey*', 'kms:Decrypt'],
          Resource: '*',
          Condition: { StringEquals: { 'aws:SourceAccount': account } },
        },
        {
          Sid: 'Logs',
          Effect: 'Allow',
          Principal: { Service: `logs.${region}.amazonaws.com` },
          Action: ['kms:Encrypt', 'kms:Decrypt', 'kms:ReEncrypt*', 'kms:GenerateDataKey*', 'kms:Describe*'],
          Resource: '*',
          Condition: {
            ArnLike: {
              'kms:EncryptionContext:aws:logs:arn': `arn:aws:logs:${region}:${account}:log-group:*`,
            },
          },
        },
        {
          Sid: 'DeliveryOfVariants',
          Effect: 'Allow',
          Principal: { Service: 'cloudfront.amazonaws.com' },
          Action: 'kms:Decrypt',
          Resource: '*',
          Condition: { ArnLike: { 'aws:SourceArn': `arn:aws:cloudfront::${account}:distribution/*` } },
        },
      ],
    }),
  )
  const key = new aws.kms.Key(
    place.id('Key'),
    { description: place.name('data'), enableKeyRotation: true, deletionWindowInDays: 30, policy },
    place.options,
  )
  new aws.kms.Alias(
    place.id('KeyAlias'),
    { name: `alias/${place.name('data')}`, targetKeyId: key.keyId },
    place.options,
  )
  return key
}

export type EncryptionKey = ReturnType<typeof createEncryptionKey>
