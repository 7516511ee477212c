import { S3Error } from '../protocol/s3-error.ts'
import { childElements, childText, parseXmlBody } from '../protocol/xml.ts'
import type { VerifiedRequest } from '../signing/signature-v4.ts'
import type { BucketTable } from '../storage/bucket-table.ts'
import { checkTags, type ObjectTags } from '../storage/object-description.ts'
import type { ObjectTable } from '../storage/object-table.ts'
import { versionHeaders } from '../storage/version-ids.ts'
import { requireVersion } from './require-version.ts'

/** GetObjectTagging. Tags are set by the header of a write or by the field of a form. */
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

/**
 * Reads the `tagging` field of a form. S3 takes a document with another root for one without tags (LocalStack's
 * recorded test of tags in forms).
 *
 * @throws S3Error MalformedXML, BadRequest, InvalidTag
 */
export function readFormTags(tagging: string | undefined): ObjectTags {
  if (tagging === undefined) return []
  const root = parseXmlBody(Buffer.from(tagging))
  const elements = childElements(root, 'TagSet').flatMap((set) => childElements(set, 'Tag'))
  return checkTags(
    elements.map((element) => [childText(element, 'Key') ?? '', childText(element, 'Value') ?? '']),
  )
}
