import type { BucketRecords } from './bucket-records.ts'
import type { ObjectRecords } from './object-records.ts'
import { openRequestBody } from './request-body.ts'
import { eventOrigin, type S3Call } from './s3-call.ts'
import { S3Error } from './s3-error.ts'
import { childElements, childText, parseXmlBody } from './xml.ts'

const maxKeys = 1000
const eventName = 'ObjectRemoved:Delete'

/** DeleteObject and DeleteObjects. */
export function createDeleteObjects(deps: {
  buckets: BucketRecords
  objects: ObjectRecords
  bodyTimeoutMs: number
}) {
  const { buckets, objects, bodyTimeoutMs } = deps

  return {
    async deleteObject({ exchange }: S3Call) {
      const { bucket, key, headers } = exchange
      await objects.delete(bucket, key, headers['if-match'], eventOrigin(exchange, eventName))
      exchange.send(204)
    },

    async deleteObjects({ exchange, signature }: S3Call) {
      buckets.require(exchange.bucket)
      const body = openRequestBody(exchange, signature, { timeoutMs: bodyTimeoutMs })
      if (!body.hasIntegrity) {
        throw new S3Error('InvalidRequest', 'Missing required header for this request: Content-MD5')
      }
      const root = parseXmlBody(await body.xml(), 'Delete')
      const targets = childElements(root, 'Object')
      if (targets.length === 0 || targets.length > maxKeys) throw new S3Error('MalformedXML')
      const quiet = childText(root, 'Quiet') === 'true'
      const wanted = targets.map((target) => {
        const key = childText(target, 'Key')
        if (!key || Buffer.byteLength(key) > 1024) throw new S3Error('MalformedXML')
        return { key, etag: childText(target, 'ETag'), versionId: childText(target, 'VersionId') }
      })
      const deleted: { Key: string }[] = []
      const errors: { Key: string; Code: string; Message: string }[] = []
      for (const { key, etag, versionId } of wanted) {
        try {
          if (versionId !== undefined && versionId !== 'null') {
            throw new S3Error('NotImplemented', 'Object versions are not implemented')
          }
          await objects.delete(exchange.bucket, key, etag, eventOrigin(exchange, eventName))
          deleted.push({ Key: key })
        } catch (error) {
          if (!(error instanceof S3Error)) throw error
          errors.push({ Key: key, Code: error.code, Message: error.message })
        }
      }
      exchange.sendXml(200, 'DeleteResult', { Deleted: quiet ? [] : deleted, Error: errors })
    },
  }
}
