import { S3Error } from '../protocol/s3-error.ts'
import type { Bucket, BucketTable } from './bucket-table.ts'
import type { ContentFiles, ContentRange } from './content-files.ts'
import type { EventOrigin, EventOutbox } from './event-outbox.ts'
import type { ObjectDescription } from './object-description.ts'
import type { Replica } from './replica.ts'
import { integer, keyText, type Row, type S3Database, text } from './s3-database.ts'
import { newVersionId, nullVersion } from './version-ids.ts'

export type ContentPiece = { contentId: string; size: number }

export type ObjectVersion = {
  id: number
  bucket: string
  key: string
  versionId: string
  /** Whether it says that the object was deleted, rather than being one. */
  isDeleteMarker: boolean
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
  /** Where it was copied from another region. */
  replica?: Replica
}

/** A deletion is one event or another, as it turns out. */
export type DeletionOrigin = Omit<EventOrigin, 'eventName'>

const deleteMarker = {
  isDeleteMarker: true,
  size: 0,
  etag: '',
  description: { headers: {}, metadata: {}, tagCount: 0 },
} satisfies Partial<ObjectVersion>

export type ObjectTable = ReturnType<typeof createObjectTable>

/**
 * Keeps which objects exist, in a versioned bucket with all their versions and delete markers. A write checks its
 * condition, replaces the object or puts a version on top, and records its events in one transaction, so that of several conditional writes exactly one wins and no event is lost to a crash.
 */
export function createObjectTable(deps: {
  database: S3Database
  files: ContentFiles
  buckets: BucketTable
  outbox: EventOutbox
}) {
  const { database, files, buckets, outbox } = deps
  const selectNewest = database.prepare(
    'SELECT * FROM object WHERE bucket = ? AND key = ? ORDER BY id DESC LIMIT 1',
  )
  const selectVersion = database.prepare(
    'SELECT * FROM object WHERE bucket = ? AND key = ? AND version_id = ?',
  )
  const selectFrom = database.prepare(
    'SELECT * FROM object WHERE bucket = ? AND key > ? AND key >= ? ORDER BY key, id DESC',
  )
  const insert = database.prepare(
    `INSERT INTO object (bucket, key, version_id, is_delete_marker, size, etag, modified_at, description)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING *`,
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

  /** The version that is asked for, or the newest; either may be a delete marker. */
  function version(bucket: string, key: string, versionId?: string): ObjectVersion | undefined {
    const bytes = Buffer.from(key)
    const row =
      versionId === undefined ? selectNewest.get(bucket, bytes) : selectVersion.get(bucket, bytes, versionId)
    return row === undefined ? undefined : toRecord(row)
  }

  function find(bucket: string, key: string): ObjectVersion | undefined {
    const newest = version(bucket, key)
    return newest?.isDeleteMarker ? undefined : newest
  }

  /** Versions of a bucket's objects and delete markers: by key, those of one key from the newest on. */
  function* versionsFrom(bucket: string, after: Buffer, from: Buffer) {
    let previousKey: string | undefined
    for (const row of selectFrom.iterate(bucket, after, from)) {
      const record = toRecord(row)
      yield { record, isLatest: record.key !== previousKey }
      previousKey = record.key
    }
  }

  /** Call it inside a transaction. @returns the record, and the content that is not referred to any more */
  function put(
    { name, isVersioned }: Bucket,
    key: string,
    written: {
      isDeleteMarker: boolean
      size: number
      etag: string
      description: ObjectDescription
      replica?: Replica
    },
  ) {
    const { replica } = written
    const versionId = replica?.versionId ?? (isVersioned ? newVersionId() : nullVersion)
    const replaced = isVersioned ? undefined : version(name, key, nullVersion)
    const dropped = replaced === undefined ? [] : removeVersion(replaced)
    const { isDeleteMarker, size, etag, description } = written
    const row = insert.get(
      name,
      Buffer.from(key),
      versionId,
      Number(isDeleteMarker),
      size,
      etag,
      replica?.modifiedAt ?? Date.now(),
      JSON.stringify(description),
    )
    if (row === undefined) throw new Error('the insert returned no row')
    return { record: toRecord(row), dropped }
  }

  /** Call it inside a transaction. @returns the content that is not referred to any more */
  function removeVersion({ id }: ObjectVersion): string[] {
    const contentIds = content(id).map((piece) => piece.contentId)
    remove.run(id)
    return contentIds
  }

  function content(objectId: number): ContentPiece[] {
    return selectContent
      .all(objectId)
      .map((row) => ({ contentId: text(row, 'content_id'), size: integer(row, 'size') }))
  }

  /** @throws S3Error PreconditionFailed, NoSuchKey */
  function checkCondition(existing: ObjectVersion | undefined, condition: WriteCondition) {
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
    version,
    versionsFrom,
    content,

    /** Refuses early what `commit` would refuse after the body. */
    precheck(bucket: string, key: string, condition: WriteCondition) {
      checkCondition(find(bucket, key), condition)
    },

    /**
     * Makes written content an object, in place of the one that has the key now or as a new version of it.
     *
     * @throws S3Error NoSuchBucket, PreconditionFailed, NoSuchKey; the content is then still the caller's
     */
    async commit(object: NewObject): Promise<ObjectVersion> {
      const size = object.content.reduce((sum, piece) => sum + piece.size, 0)
      const { record, dropped } = database.transaction(() => {
        const bucket = buckets.require(object.bucket)
        checkCondition(find(object.bucket, object.key), object.condition)
        const { record, dropped: replaced } = put(bucket, object.key, {
          ...object,
          isDeleteMarker: false,
          size,
        })
        const dropped = new Set(replaced)
        if (object.uploadId !== undefined) {
          for (const row of partContent.all(object.uploadId)) dropped.add(text(row, 'content_id'))
          removeUpload.run(object.uploadId)
        }
        object.content.forEach((piece, position) => {
          insertContent.run(record.id, position, piece.contentId, piece.size)
          dropped.delete(piece.contentId)
        })
        outbox.record(bucket, object.origin, record)
        return { record, dropped: [...dropped] }
      })
      outbox.deliverRecorded()
      await files.discard(dropped)
      return record
    },

    /**
     * Deletes an object, in a versioned bucket by a delete marker on top of it; or one of its versions for good.
     * Where there is nothing to delete, a versioned bucket gets its marker all the same, as on S3.
     *
     * @param what.ifMatch of the current version
     * @returns the version that was made or deleted; nothing where there was none
     * @throws S3Error NoSuchBucket, NoSuchKey, PreconditionFailed, NotImplemented
     */
    async delete(
      bucketName: string,
      key: string,
      what: { versionId: string | undefined; ifMatch: string | undefined },
      origin: DeletionOrigin,
    ): Promise<ObjectVersion | undefined> {
      const { versionId, ifMatch } = what
      if (versionId !== undefined && ifMatch !== undefined) {
        throw new S3Error('NotImplemented', undefined, { Header: 'If-Match' })
      }
      const { record, dropped } = database.transaction(() => {
        const bucket = buckets.require(bucketName)
        if (ifMatch !== undefined) checkCondition(find(bucketName, key), { ifNoneMatch: false, ifMatch })
        if (versionId === undefined && bucket.isVersioned) {
          const { record, dropped } = put(bucket, key, deleteMarker)
          outbox.record(
            bucket,
            { ...origin, eventName: 'ObjectRemoved:DeleteMarkerCreated' },
            { key, versionId: record.versionId },
          )
          return { record, dropped }
        }
        const record = version(bucketName, key, versionId)
        if (record === undefined) return { record, dropped: [] }
        const dropped = removeVersion(record)
        outbox.record(
          bucket,
          { ...origin, eventName: 'ObjectRemoved:Delete' },
          { key, versionId: record.versionId },
        )
        return { record, dropped }
      })
      outbox.deliverRecorded()
      await files.discard(dropped)
      return record
    },

    /** Objects of a bucket in key order, read as they are asked for. `after` is excluded, `from` included (UTF-8). */
    *from(bucket: string, after: Buffer, from: Buffer): Generator<ObjectVersion> {
      for (const { record, isLatest } of versionsFrom(bucket, after, from)) {
        if (isLatest && !record.isDeleteMarker) yield record
      }
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
    contentInUse: () => new Set(allContent.all().map((row) => text(row, 'content_id'))),
  }
}

function toRecord(row: Row): ObjectVersion {
  return {
    id: integer(row, 'id'),
    bucket: text(row, 'bucket'),
    key: keyText(row, 'key'),
    versionId: text(row, 'version_id'),
    isDeleteMarker: integer(row, 'is_delete_marker') === 1,
    size: integer(row, 'size'),
    etag: text(row, 'etag'),
    modifiedAt: integer(row, 'modified_at'),
    description: JSON.parse(text(row, 'description')),
  }
}
