import { openRequestBody } from '../bodies/request-body.ts'
import { maxKeyBytes } from '../protocol/object-keys.ts'
import { S3Error } from '../protocol/s3-error.ts'
import { childElements, childText, parseXmlBody } from '../protocol/xml.ts'
import type { VerifiedRequest } from '../signing/signature-v4.ts'
import type { BucketTable } from '../storage/bucket-table.ts'
import type { ObjectTable, ObjectVersion } from '../storage/object-table.ts'
import { invalidVersionId, isVersionId, requestedVersion, versionHeaders } from '../storage/version-ids.ts'
import { requestOrigin } from './event-origin.ts'

const maxKeys = 1000
/** Conditions that S3 supports for directory buckets only (S3 API reference, "ObjectIdentifier"). */
const directoryBucketConditions = ['LastModifiedTime', 'Size']
const objectElements = ['Key', 'VersionId', 'ETag', ...directoryBucketConditions]

/** DeleteObject and DeleteObjects. */
export function createDeleteObjects(deps: {
  buckets: BucketTable
  objects: ObjectTable
  bodyTimeoutMs: number
}) {
  const { buckets, objects, bodyTimeoutMs } = deps

  /** Whether a version id has another form than S3's and no version has it. */
  function isImpossible(bucket: string, key: string, versionId: string | undefined): boolean {
    if (versionId === undefined || isVersionId(versionId)) return false
    return objects.findVersion(bucket, key, versionId) === undefined
  }

  return {
    async deleteObject({ exchange }: VerifiedRequest) {
      const { bucket, key, headers } = exchange
      buckets.require(bucket)
      const options = { versionId: requestedVersion(exchange), ifMatch: headers['if-match'] }
      if (isImpossible(bucket, key, options.versionId)) {
        throw invalidVersionId('versionId', options.versionId ?? '')
      }
      const deleted = await objects.delete(bucket, key, options, requestOrigin(exchange))
      exchange.send(204, deleted && versionHeaders(deleted))
    },

    async deleteObjects({ exchange, signature }: VerifiedRequest) {
      buckets.require(exchange.bucket)
      const body = openRequestBody(exchange, signature, { timeoutMs: bodyTimeoutMs })
      body.requireIntegrity()
      const root = parseXmlBody(await body.xml(), 'Delete')
      const elements = childElements(root, 'Object')
      if (childElements(root).some(({ name }) => name !== 'Object' && name !== 'Quiet')) {
        throw new S3Error('MalformedXML')
      }
      if (elements.length === 0 || elements.length > maxKeys) throw new S3Error('MalformedXML')
      const quiet = childText(root, 'Quiet') === 'true'
      const targets = elements.map((element) => {
        const key = childText(element, 'Key')
        if (!key || Buffer.byteLength(key) > maxKeyBytes) throw new S3Error('MalformedXML')
        const unknown = childElements(element).some(({ name }) => !objectElements.includes(name))
        if (unknown) throw new S3Error('MalformedXML')
        return {
          key,
          ifMatch: childText(element, 'ETag'),
          versionId: childText(element, 'VersionId'),
          unsupported: directoryBucketConditions.find((name) => childText(element, name) !== undefined),
        }
      })
      const deleted: Record<string, string | boolean | undefined>[] = []
      const errors: Record<string, string | undefined>[] = []
      for (const { key, unsupported, ...options } of targets) {
        const target = { Key: key, VersionId: options.versionId }
        try {
          if (unsupported !== undefined) {
            throw new S3Error('NotImplemented', `The condition ${unsupported} is not implemented.`)
          }
          if (isImpossible(exchange.bucket, key, options.versionId)) throw new S3Error('NoSuchVersion')
          const version = await objects.delete(exchange.bucket, key, options, requestOrigin(exchange))
          deleted.push({ ...target, ...(version?.isDeleteMarker && deleteMarkerElements(version)) })
        } catch (error) {
          if (!(error instanceof S3Error)) throw error
          errors.push({ ...target, Code: error.code, Message: error.message })
        }
      }
      exchange.sendXml(200, 'DeleteResult', { Deleted: quiet ? [] : deleted, Error: errors })
    },
  }
}

/** Returns the XML elements of a delete marker that was created or deleted. */
function deleteMarkerElements({ versionId }: ObjectVersion) {
  return { DeleteMarker: true, DeleteMarkerVersionId: versionId }
}
