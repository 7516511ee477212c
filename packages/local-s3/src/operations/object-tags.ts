import { S3Error } from '../protocol/s3-error.ts'
import type { VerifiedRequest } from '../signing/signature-v4.ts'
import type { BucketTable } from '../storage/bucket-table.ts'
import type { ObjectTable } from '../storage/object-table.ts'
import { versionHeaders } from '../storage/version-ids.ts'
import { requireVersion } from './require-version.ts'

/** GetObjectTagging. Tags are set by the header of a write. */
export function createObjectTags(deps: { buckets: BucketTable; objects: ObjectTable }) {
  return {
    async getObjectTagging({ exchange }: VerifiedRequest) {
      const version = requireVersion(exchange, deps)
      const { tags = [], tagCount } = version.description
      if (tags.length !== tagCount) {
        throw new S3Error('NotImplemented', 'An older version of this server stored only the number of tags.')
      }
      exchange.sendXml(
        200,
        'Tagging',
        { TagSet: { Tag: tags.map(([name, value]) => ({ Key: name, Value: value })) } },
        versionHeaders(version),
      )
    },
  }
}
