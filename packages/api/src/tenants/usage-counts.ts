import {
  DeleteObjectsCommand,
  GetObjectCommand,
  NoSuchKey,
  PutObjectCommand,
  paginateListObjectsV2,
  type S3Client,
} from '@aws-sdk/client-s3'
import { usageKey, usagePageKey, usagePrefix } from '@millrace/shared/ledger/object-keys.ts'
import { parseStored } from '@millrace/shared/service/stored-json.ts'
import { Owner } from '@millrace/shared/uploads/owner.ts'
import Type, { type Static, type TSchema } from 'typebox'
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
  async function read<Schema extends TSchema>(
    validator: ReturnType<typeof Compile<Schema>>,
    key: string,
  ): Promise<Static<Schema> | undefined> {
    try {
      const { Body } = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key }))
      return parseStored(validator, (await Body?.transformToString()) ?? '', key)
    } catch (error) {
      if (error instanceof NoSuchKey) return undefined
      throw error
    }
  }

  async function write(key: string, value: unknown): Promise<void> {
    const body = { Body: JSON.stringify(value), ContentType: 'application/json' }
    await s3.send(new PutObjectCommand({ Bucket: bucket, Key: key, ...body }))
  }

  return {
    latest: (tenantKey: string) => read(usageCount, usageKey(tenantKey)),

    /** @returns undefined if a later count has replaced this one */
    page: (tenantKey: string, countId: string, page: number) =>
      read(usagePage, usagePageKey(tenantKey, countId, page)),

    writePage: (tenantKey: string, countId: string, page: number, owners: UsageOfOwner[]) =>
      write(usagePageKey(tenantKey, countId, page), owners),

    /** Makes a count the latest one, and deletes the pages of all others. */
    async replace(tenantKey: string, count: UsageCount): Promise<void> {
      await write(usageKey(tenantKey), count)
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
