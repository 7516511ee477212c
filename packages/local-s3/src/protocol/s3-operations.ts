import { S3Error } from './s3-error.ts'
import type { S3Exchange } from './s3-exchange.ts'

/**
 * S3's sub-resources: query parameters that select another operation. All of them are listed, also those that no
 * operation here uses, so that a request is not taken for one of the plain resource: `DELETE /bucket?policy` is not
 * DeleteBucket. Other parameters, such as the SDK's `x-id`, are ignored.
 */
const subResources = new Set(
  `abac accelerate acl analytics annotation append attributes cors delete encryption intelligent-tiering inventory legal-hold
  lifecycle list-type location logging metadataConfiguration metadataInventoryTable metadataJournalTable
  metadataTable metrics notification object-lock ownershipControls partNumber policy policyStatus
  publicAccessBlock renameObject replication requestPayment restore retention select select-type session
  tagging torrent uploadId uploads versionId versioning versions website`.split(/\s+/),
)

/** `<scope> <method> <sub-resources, sorted>` → the operation's name. */
const operations = {
  'service GET ': 'listBuckets',
  'bucket PUT ': 'createBucket',
  'bucket HEAD ': 'headBucket',
  'bucket DELETE ': 'deleteBucket',
  'bucket GET cors': 'getBucketCors',
  'bucket PUT cors': 'putBucketCors',
  'bucket DELETE cors': 'deleteBucketCors',
  'bucket GET notification': 'getBucketNotificationConfiguration',
  'bucket PUT notification': 'putBucketNotificationConfiguration',
  'bucket GET versioning': 'getBucketVersioning',
  'bucket PUT versioning': 'putBucketVersioning',
  'bucket GET ': 'listObjects',
  'bucket GET list-type': 'listObjectsV2',
  'bucket GET versions': 'listObjectVersions',
  'bucket GET uploads': 'listMultipartUploads',
  'bucket GET location': 'getBucketLocation',
  'bucket GET accelerate': 'getBucketAccelerateConfiguration',
  'bucket GET acl': 'getBucketAcl',
  'bucket PUT acl': 'putBucketAcl',
  'bucket GET encryption': 'getBucketEncryption',
  'bucket GET lifecycle': 'getBucketLifecycleConfiguration',
  'bucket GET logging': 'getBucketLogging',
  'bucket GET object-lock': 'getObjectLockConfiguration',
  'bucket GET ownershipControls': 'getBucketOwnershipControls',
  'bucket GET policy': 'getBucketPolicy',
  'bucket GET policyStatus': 'getBucketPolicyStatus',
  'bucket GET publicAccessBlock': 'getPublicAccessBlock',
  'bucket GET replication': 'getBucketReplication',
  'bucket GET requestPayment': 'getBucketRequestPayment',
  'bucket GET tagging': 'getBucketTagging',
  'bucket GET website': 'getBucketWebsite',
  'bucket POST delete': 'deleteObjects',
  'object PUT ': 'putObject',
  'object PUT copy': 'copyObject',
  'object GET ': 'getObject',
  'object GET versionId': 'getObject',
  'object GET partNumber': 'getObject',
  'object GET partNumber,versionId': 'getObject',
  'object PUT acl': 'putObjectAcl',
  'object PUT acl,versionId': 'putObjectAcl',
  'object GET acl': 'getObjectAcl',
  'object GET acl,versionId': 'getObjectAcl',
  'object GET legal-hold': 'getObjectLegalHold',
  'object GET legal-hold,versionId': 'getObjectLegalHold',
  'object GET retention': 'getObjectRetention',
  'object GET retention,versionId': 'getObjectRetention',
  'object GET tagging': 'getObjectTagging',
  'object GET tagging,versionId': 'getObjectTagging',
  'object HEAD ': 'headObject',
  'object HEAD partNumber': 'headObject',
  'object HEAD partNumber,versionId': 'headObject',
  'object HEAD versionId': 'headObject',
  'object DELETE ': 'deleteObject',
  'object DELETE versionId': 'deleteObject',
  'object POST uploads': 'createMultipartUpload',
  'object PUT partNumber,uploadId': 'uploadPart',
  'object PUT copy,partNumber,uploadId': 'uploadPartCopy',
  'object GET uploadId': 'listParts',
  'object POST uploadId': 'completeMultipartUpload',
  'object DELETE uploadId': 'abortMultipartUpload',
} as const satisfies Record<string, string>

export type S3Operation = (typeof operations)[keyof typeof operations]

/** Whether a request is POST Object, which no signature in its headers or URL authorizes. */
export function isFormPost(exchange: S3Exchange): boolean {
  const { method, bucket, key } = exchange
  return method === 'POST' && bucket !== '' && key === '' && exchange.query('delete') === undefined
}

/**
 * Finds the S3 operation of a signed request.
 *
 * @throws S3Error NotImplemented for an operation that this server does not have, MethodNotAllowed, InvalidArgument for
 * a version id where none is accepted
 */
export function findOperation(exchange: S3Exchange): S3Operation {
  const { bucket, key, method, headers } = exchange
  const scope = bucket === '' ? 'service' : key === '' ? 'bucket' : 'object'
  const present = new Set(exchange.parameters.map(([name]) => name).filter((name) => subResources.has(name)))
  if (scope === 'bucket' && exchange.query('list-type') !== '2') present.delete('list-type')
  if (method === 'PUT' && headers['x-amz-copy-source'] !== undefined) present.add('copy')
  const find = (parameters: string[]) => {
    const pattern = `${scope} ${method} ${parameters.sort().join(',')}`
    return Object.entries(operations).find(([candidate]) => candidate === pattern)?.[1]
  }
  const operation = find([...present])
  if (operation !== undefined) return operation
  if (present.delete('versionId') && find([...present]) !== undefined) {
    throw new S3Error('InvalidArgument', 'This operation does not accept a version-id.', {
      ArgumentName: 'versionId',
      ArgumentValue: exchange.query('versionId') ?? '',
    })
  }
  if (!['GET', 'HEAD', 'PUT', 'POST', 'DELETE'].includes(method)) {
    throw new S3Error('MethodNotAllowed', undefined, { Method: method })
  }
  throw new S3Error('NotImplemented', `This server does not implement ${method} of this resource.`)
}
