import {
  type ChecksumAlgorithm,
  checksumAlgorithm,
  checksumElements,
  checksumHeaders,
} from '../bodies/checksums.ts'
import { digestStream, openRequestBody } from '../bodies/request-body.ts'
import { S3Error } from '../protocol/s3-error.ts'
import type { S3Exchange } from '../protocol/s3-exchange.ts'
import type { VerifiedRequest } from '../signing/signature-v4.ts'
import type { BucketTable } from '../storage/bucket-table.ts'
import { readWriteCondition } from '../storage/conditional-requests.ts'
import type { ContentFiles } from '../storage/content-files.ts'
import { type ObjectDescription, readObjectDescription } from '../storage/object-description.ts'
import type { ObjectTable } from '../storage/object-table.ts'
import { readReplica, replicaStatusHeader } from '../storage/replica.ts'
import { nullVersion, versionHeaders } from '../storage/version-ids.ts'
import { checkCopySize, parseCopySource, readCopySource } from './copy-source.ts'
import { eventOrigin } from './event-origin.ts'
import { writeObject } from './write-object.ts'

/**
 * PutObject and CopyObject.
 *
 * @param deps.acceptsReplicas whether a PutObject may declare its object to be a replica from another region
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
      const replica = acceptsReplicas ? readReplica(exchange) : undefined
      if (replica) Object.assign(description.headers, replicaStatusHeader)
      const body = openRequestBody(exchange, signature, { timeoutMs: bodyTimeoutMs })
      objects.precheck(bucket, key, condition)

      const { version, md5 } = await writeObject(
        { objects, files },
        { chunks: body.chunks(), digests: body.digests },
        {
          bucket,
          key,
          etag: replica?.etag,
          description,
          condition,
          origin: eventOrigin(exchange, 'ObjectCreated:Put'),
          ...(replica && { replica }),
        },
      )
      exchange.send(200, {
        etag: `"${md5}"`,
        ...versionHeaders(version),
        ...checksumHeaders(version.description.checksum),
      })
    },

    async copyObject({ exchange }: VerifiedRequest) {
      const { bucket, key, headers } = exchange
      buckets.require(bucket)
      const condition = readWriteCondition(exchange)
      const source = readCopySource(exchange, { buckets, objects })
      checkCopySize(source.size)
      const directive = readDirective(exchange, 'metadata')
      const tagDirective = readDirective(exchange, 'tagging')
      const { bucket: sourceBucket, key: sourceKey, versionId } = parseCopySource(exchange)
      const ontoItself = sourceBucket === bucket && sourceKey === key && versionId === undefined
      if (directive === 'COPY' && ontoItself) {
        throw new S3Error(
          'InvalidRequest',
          "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.",
        )
      }
      const fromRequest = readObjectDescription(headers)
      const { checksum: sourceChecksum, uploadId: _, ...fromSource } = source.description
      const requestedAlgorithm = headers['x-amz-checksum-algorithm']
      const algorithm: ChecksumAlgorithm | undefined =
        requestedAlgorithm === undefined ? sourceChecksum?.algorithm : checksumAlgorithm(requestedAlgorithm)

      const bytes = files.read(objects.ranges(source.id, 0, source.size - 1))
      const { version, md5 } = await writeObject({ objects, files }, digestStream(bytes, algorithm), {
        bucket,
        key,
        description: {
          ...(directive === 'REPLACE' ? fromRequest : fromSource),
          ...tagsOf(tagDirective === 'REPLACE' ? fromRequest : fromSource),
        },
        condition,
        origin: eventOrigin(exchange, 'ObjectCreated:Copy'),
      })
      const { checksum } = version.description
      exchange.sendXml(
        200,
        'CopyObjectResult',
        {
          LastModified: new Date(version.modifiedAt).toISOString(),
          ETag: `"${md5}"`,
          ChecksumType: checksum?.type,
          ...checksumElements(checksum),
        },
        {
          ...versionHeaders(version),
          ...(source.versionId !== nullVersion && { 'x-amz-copy-source-version-id': source.versionId }),
        },
      )
    },
  }
}

/**
 * Reads whether CopyObject takes metadata or tags from the source or from the request.
 * @throws S3Error InvalidArgument
 */
function readDirective({ headers }: S3Exchange, kind: 'metadata' | 'tagging'): 'COPY' | 'REPLACE' {
  const name = `x-amz-${kind}-directive`
  const directive = headers[name] ?? 'COPY'
  if (directive === 'COPY' || directive === 'REPLACE') return directive
  throw new S3Error('InvalidArgument', `Unknown ${kind} directive.`, {
    ArgumentName: name,
    ArgumentValue: directive,
  })
}

function tagsOf({ tagCount, tags }: ObjectDescription): Pick<ObjectDescription, 'tagCount' | 'tags'> {
  return { tagCount, ...(tags === undefined ? {} : { tags }) }
}
