import type { BucketRecords } from './bucket-records.ts'
import type { EventOrigin, EventOutbox } from './event-outbox.ts'
import type { ContentRange, ObjectFiles } from './object-files.ts'
import type { ObjectDescription } from './object-metadata.ts'
import { integer, keyText, type Row, type S3Database, text } from './s3-database.ts'
import { S3Error } from './s3-error.ts'

export type ContentPiece = { contentId: string; size: number }

export type ObjectRecord = {
  id: number
  bucket: string
  key: string
  /** Bytes. */
  size: number
  /** Without quotes: MD5 in hex, or `<md5 of the parts' md5s>-<parts>`. */
  etag: string
  /** Milliseconds since 1970. */
  modifiedAt: number
  description: ObjectDescription
}

/** A conditional write: `If-None-Match: *` or `If-Match: <etag>`. */
export type WriteCondition = { ifNoneMatch: boolean; ifMatch: string | undefined }

export type NewObject = {
  bucket: string
  key: string
  etag: string
  description: ObjectDescription
  content: readonly ContentPiece[]
  condition: WriteCondition
  origin: EventOrigin
  /** The multipart upload that this object completes; ends in the same transaction. */
  uploadId?: string
}

export type ObjectRecords = ReturnType<typeof createObjectRecords>

/**
 * Keeps which objects exist. A write checks its condition, replaces the object and records its events in one
 * transaction, so that of several conditional writes exactly one wins and no event is lost to a crash.
 */
export function createObjectRecords(deps: {
  database: S3Database
  files: ObjectFiles
  buckets: BucketRecords
  outbox: EventOutbox
}) {
  const { database, files, buckets, outbox } = deps
  const select = database.prepare('SELECT * FROM object WHERE bucket = ? AND key = ?')
  const selectFrom = database.prepare(
    'SELECT * FROM object WHERE bucket = ? AND key > ? AND key >= ? ORDER BY key',
  )
  const insert = database.prepare(
    'INSERT INTO object (bucket, key, size, etag, modified_at, description) VALUES (?, ?, ?, ?, ?, ?) RETURNING id',
  )
  const remove = database.prepare('DELETE FROM object WHERE id = ?')
  const insertContent = database.prepare('INSERT INTO object_content VALUES (?, ?, ?, ?)')
  const selectContent = database.prepare(
    'SELECT content_id, size FROM object_content WHERE object_id = ? ORDER BY position',
  )
  const partContent = database.prepare('SELECT content_id FROM part WHERE upload_id = ?')
  const removeUpload = database.prepare('DELETE FROM upload WHERE id = ?')
  const allContent = database.prepare(
    'SELECT content_id FROM object_content UNION ALL SELECT content_id FROM part',
  )

  function find(bucket: string, key: string): ObjectRecord | undefined {
    const row = select.get(bucket, Buffer.from(key))
    return row === undefined ? undefined : toRecord(row)
  }

  function content(objectId: number): ContentPiece[] {
    return selectContent
      .all(objectId)
      .map((row) => ({ contentId: text(row, 'content_id'), size: integer(row, 'size') }))
  }

  /** @throws S3Error PreconditionFailed, NoSuchKey */
  function checkCondition(existing: ObjectRecord | undefined, condition: WriteCondition) {
    if (condition.ifNoneMatch && existing !== undefined) {
      throw new S3Error('PreconditionFailed', undefined, { Condition: 'If-None-Match' })
    }
    if (condition.ifMatch === undefined) return
    if (existing === undefined) throw new S3Error('NoSuchKey')
    if (condition.ifMatch !== '*' && condition.ifMatch.replaceAll('"', '') !== existing.etag) {
      throw new S3Error('PreconditionFailed', undefined, { Condition: 'If-Match' })
    }
  }

  return {
    find,
    content,

    /** @throws S3Error NoSuchKey */
    require(bucket: string, key: string): ObjectRecord {
      const object = find(bucket, key)
      if (object === undefined) throw new S3Error('NoSuchKey', undefined, { Key: key })
      return object
    },

    /** Refuses early what `commit` would refuse after the body. */
    precheck(bucket: string, key: string, condition: WriteCondition) {
      checkCondition(find(bucket, key), condition)
    },

    /**
     * Makes written content an object, in place of the one that has the key now.
     *
     * @throws S3Error NoSuchBucket, PreconditionFailed, NoSuchKey; the content is then still the caller's
     */
    async commit(object: NewObject): Promise<ObjectRecord> {
      const modifiedAt = Date.now()
      const size = object.content.reduce((sum, piece) => sum + piece.size, 0)
      const key = Buffer.from(object.key)
      const { record, dropped } = database.transaction(() => {
        const bucket = buckets.require(object.bucket)
        const existing = find(object.bucket, object.key)
        checkCondition(existing, object.condition)
        const dropped = new Set<string>()
        if (existing !== undefined) {
          for (const piece of content(existing.id)) dropped.add(piece.contentId)
          remove.run(existing.id)
        }
        if (object.uploadId !== undefined) {
          for (const row of partContent.all(object.uploadId)) dropped.add(text(row, 'content_id'))
          removeUpload.run(object.uploadId)
        }
        const description = JSON.stringify(object.description)
        const row = insert.get(object.bucket, key, size, object.etag, modifiedAt, description)
        if (row === undefined) throw new Error('the insert returned no row')
        const record = { ...object, id: integer(row, 'id'), size, modifiedAt }
        object.content.forEach((piece, position) => {
          insertContent.run(record.id, position, piece.contentId, piece.size)
          dropped.delete(piece.contentId)
        })
        outbox.record(bucket, object.origin, record)
        return { record, dropped: [...dropped] }
      })
      outbox.wake()
      await files.discard(dropped)
      return record
    },

    /**
     * Deletes an object; without one nothing happens.
     * @throws S3Error NoSuchBucket, PreconditionFailed
     */
    async delete(bucketName: string, key: string, ifMatch: string | undefined, origin: EventOrigin) {
      const dropped = database.transaction(() => {
        const bucket = buckets.require(bucketName)
        const existing = find(bucketName, key)
        if (ifMatch !== undefined) checkCondition(existing, { ifNoneMatch: false, ifMatch })
        if (existing === undefined) return []
        const contentIds = content(existing.id).map((piece) => piece.contentId)
        remove.run(existing.id)
        outbox.record(bucket, origin, { key })
        return contentIds
      })
      outbox.wake()
      await files.discard(dropped)
    },

    /** Objects of a bucket in key order, read as they are asked for. `after` is excluded, `from` included (UTF-8). */
    *from(bucket: string, after: Buffer, from: Buffer): Generator<ObjectRecord> {
      for (const row of selectFrom.iterate(bucket, after, from)) yield toRecord(row)
    },

    /**
     * The ranges of content files that make up the bytes `start` to `end` (inclusive) of an object.
     */
    ranges(objectId: number, start: number, end: number): ContentRange[] {
      const ranges: ContentRange[] = []
      let offset = 0
      for (const { contentId, size } of content(objectId)) {
        const from = Math.max(start - offset, 0)
        const to = Math.min(end - offset, size - 1)
        if (from <= to) ranges.push({ contentId, start: from, end: to })
        offset += size
      }
      return ranges
    },

    /** Every content file that a row refers to. */
    knownContent: () => new Set(allContent.all().map((row) => text(row, 'content_id'))),
  }
}

function toRecord(row: Row): ObjectRecord {
  return {
    id: integer(row, 'id'),
    bucket: text(row, 'bucket'),
    key: keyText(row, 'key'),
    size: integer(row, 'size'),
    etag: text(row, 'etag'),
    modifiedAt: integer(row, 'modified_at'),
    description: JSON.parse(text(row, 'description')),
  }
}
