import { DeleteObjectsCommand, paginateListObjectsV2, type S3Client } from '@aws-sdk/client-s3'
import { createJsonObjects } from '@millrace/shared/ledger/json-objects.ts'
import { usageKey, usagePageKey, usagePrefix } from '@millrace/shared/ledger/object-keys.ts'
import { Owner } from '@millrace/shared/uploads/owner.ts'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'

const Count = { files: Type.Integer(), bytes: Type.Integer() }

/** The files of an owner, or of all. */
export const Usage = Type.Object({
  ...Count,
  days: Type.Array(
    Type.Object(
      { day: Type.String({ description: 'UTC, such as 2026-11-27' }), ...Count },
      { title: 'UsageOfDay' },
    ),
    { description: 'by the day on which they were announced; days of the last 90 that have files' },
  ),
})
export type Usage = Static<typeof Usage>

const UsageOfOwner = Type.Object({ owner: Owner, ...Usage.properties })
export type UsageOfOwner = Static<typeof UsageOfOwner>

/** A count of a tenant's files. The counts of its users are in pages. */
export const UsageCount = Type.Object({
  version: Type.Literal(1),
  id: Type.String({ description: 'UUIDv7' }),
  asOf: Type.String({ description: 'ISO 8601: when the count began' }),
  durationMs: Type.Number(),
  ...Usage.properties,
  own: Type.Optional(UsageOfOwner),
  pages: Type.Array(Owner, { description: 'the first owner of each page, in order' }),
})
export type UsageCount = Static<typeof UsageCount>

const usageCount = Compile(UsageCount)
const usagePage = Compile(Type.Array(UsageOfOwner))

/**
 * Stores the counts of tenants' files in S3.
 * @param deps.bucket the bucket that is the ledger
 */
export function createUsageCounts({ s3, bucket }: { s3: S3Client; bucket: string }) {
  const counts = createJsonObjects({ s3, bucket }, usageCount)
  const pages = createJsonObjects({ s3, bucket }, usagePage)

  return {
    latest: (tenantKey: string) => counts.read(usageKey(tenantKey)),

    /** @returns undefined if a later count has replaced this one */
    page: (tenantKey: string, countId: string, page: number) =>
      pages.read(usagePageKey(tenantKey, countId, page)),

    writePage: (tenantKey: string, countId: string, page: number, owners: UsageOfOwner[]) =>
      pages.write(usagePageKey(tenantKey, countId, page), owners),

    /** Makes a count the latest one, and deletes the pages of all others. */
    async replace(tenantKey: string, count: UsageCount): Promise<void> {
      await counts.write(usageKey(tenantKey), count)
      const kept = [usageKey(tenantKey), ...count.pages.map((_, i) => usagePageKey(tenantKey, count.id, i))]
      const listed = paginateListObjectsV2(
        { client: s3 },
        { Bucket: bucket, Prefix: `${usagePrefix}${tenantKey}/` },
      )
      for await (const { Contents = [] } of listed) {
        const old = Contents.flatMap(({ Key = '' }) => (kept.includes(Key) ? [] : { Key }))
        if (old.length === 0) continue
        await s3.send(new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects: old, Quiet: true } }))
      }
    },
  }
}

export type UsageCounts = ReturnType<typeof createUsageCounts>
