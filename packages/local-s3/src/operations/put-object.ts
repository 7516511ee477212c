import { type ChecksumAlgorithm, checksumAlgorithm, checksumElement } from '../bodies/checksums.ts'
import { digestStream, maxPutBytes, openRequestBody } from '../bodies/request-body.ts'
import { S3Error } from '../protocol/s3-error.ts'
import type { BucketTable } from '../storage/bucket-table.ts'
import { readWriteCondition } from '../storage/conditional-requests.ts'
import type { ContentFiles } from '../storage/content-files.ts'
import { type ObjectDescription, readObjectDescription } from '../storage/object-description.ts'
import type { ObjectTable } from '../storage/object-table.ts'
import { readReplica, replicaStatusHeader } from '../storage/replica.ts'
import { nullVersion, versionHeaders } from '../storage/version-ids.ts'
import { parseCopySource, readCopySource } from './copy-source.ts'
import { eventOrigin, type VerifiedRequest } from './event-origin.ts'

/**
 * PutObject and CopyObject.
 *
 * @param deps.takesCopies listens to who says that what it puts is a copy from another region
 */
export function createPutObject(deps: {
  buckets: BucketTable
  objects: ObjectTable
  files: ContentFiles
  bodyTimeoutMs: number
  acceptsReplicas: boolean
}) {
  const { buckets, objects, files, bodyTimeoutMs, acceptsReplicas } = deps

  return {
    async putObject({ exchange, signature }: VerifiedRequest) {
      const { bucket, key } = exchange
      buckets.require(bucket)
      const condition = readWriteCondition(exchange)
      const description = readObjectDescription(exchange.headers)
      const copy = acceptsReplicas ? readReplica(exchange) : undefined
      if (copy) Object.assign(description.headers, replicaStatusHeader)
      const body = openRequestBody(exchange, signature, { timeoutMs: bodyTimeoutMs })
      objects.precheck(bucket, key, condition)

      const written = await files.write(body.chunks())
      const { md5, checksum } = body.digests()
      if (checksum !== undefined) description.checksum = { ...checksum, type: 'FULL_OBJECT' }
      const committed = await objects
        .commit({
          bucket,
          key,
          etag: copy?.etag ?? md5,
          description,
          content: [written],
          condition,
          origin: eventOrigin(exchange, 'ObjectCreated:Put'),
          ...(copy && { copy }),
        })
        .catch(async (error: unknown) => {
          await files.discard([written.contentId])
          throw error
        })
      exchange.send(200, { etag: `"${md5}"`, ...versionHeaders(committed), ...checksumHeaders(description) })
    },

    async copyObject({ exchange }: VerifiedRequest) {
      const { bucket, key, headers } = exchange
      buckets.require(bucket)
      const condition = readWriteCondition(exchange)
      const source = readCopySource(exchange, { buckets, objects })
      if (source.size > maxPutBytes) {
        throw new S3Error(
          'InvalidRequest',
          'The specified copy source is larger than the maximum allowable size for a copy source: 5368709120',
        )
      }
      const directive = headers['x-amz-metadata-directive'] ?? 'COPY'
      if (directive !== 'COPY' && directive !== 'REPLACE') {
        throw new S3Error('InvalidArgument', 'Unknown metadata directive.', {
          ArgumentName: 'x-amz-metadata-directive',
          ArgumentValue: directive,
        })
      }
      const { bucket: sourceBucket, key: sourceKey, versionId } = parseCopySource(exchange)
      const ontoItself = sourceBucket === bucket && sourceKey === key && versionId === undefined
      if (directive === 'COPY' && ontoItself) {
        throw new S3Error(
          'InvalidRequest',
          "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.",
        )
      }
      const stated = readObjectDescription(headers)
      const description: ObjectDescription =
        directive === 'REPLACE' ? stated : { ...source.description, tagCount: source.description.tagCount }
      delete description.checksum
      const named = headers['x-amz-checksum-algorithm']
      const algorithm: ChecksumAlgorithm | undefined =
        named === undefined ? source.description.checksum?.algorithm : checksumAlgorithm(named)

      const bytes = files.read(objects.ranges(source.id, 0, source.size - 1))
      const digesting = digestStream(bytes, algorithm)
      const written = await files.write(digesting.chunks)
      const { md5, checksum } = await digesting.digests()
      if (checksum !== undefined) description.checksum = { ...checksum, type: 'FULL_OBJECT' }
      const committed = await objects
        .commit({
          bucket,
          key,
          etag: md5,
          description,
          content: [written],
          condition,
          origin: eventOrigin(exchange, 'ObjectCreated:Copy'),
        })
        .catch(async (error: unknown) => {
          await files.discard([written.contentId])
          throw error
        })
      const copied = {
        LastModified: new Date(committed.modifiedAt).toISOString(),
        ETag: `"${md5}"`,
        ...(description.checksum === undefined
          ? {}
          : {
              ChecksumType: 'FULL_OBJECT',
              [checksumElement(description.checksum.algorithm)]: description.checksum.value,
            }),
      }
      exchange.sendXml(200, 'CopyObjectResult', copied, {
        ...versionHeaders(committed),
        ...(source.versionId !== nullVersion && { 'x-amz-copy-source-version-id': source.versionId }),
      })
    },
  }
}

/** What an upload's answer says of its checksum. */
function checksumHeaders({ checksum }: ObjectDescription): Record<string, string> {
  if (checksum === undefined) return {}
  return { [`x-amz-checksum-${checksum.algorithm}`]: checksum.value, 'x-amz-checksum-type': checksum.type }
}
