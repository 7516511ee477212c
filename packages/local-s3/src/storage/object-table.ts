import { headerNotImplemented } from '../protocol/request-headers.ts'
import { S3Error } from '../protocol/s3-error.ts'
import type { Bucket, BucketTable } from './bucket-table.ts'
import type { ContentFiles, ContentRange } from './content-files.ts'
import type { EventOrigin, EventOutbox } from './event-outbox.ts'
import type { ObjectDescription } from './object-description.ts'
import type { Replica } from './replica.ts'
import { integer, keyText, type Row, type S3Database, text } from './s3-database.ts'
import { newVersionId, nullVersion } from './version-ids.ts'

/** One content file of an object, with its size in bytes. */
export type ContentPiece = { contentId: string; size: number }

export type ObjectVersion = {
  id: number
  bucket: string
  key: string
  versionId: string
  /** Whether this row is a delete marker: it records that the object was deleted. */
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
  /** The multipart upload that becomes this object. It is deleted in the same transaction. */
  uploadId?: string
  /** For an object that replication wrote. */
  replica?: Replica
}

/** The event name of a deletion depends on what is deleted. */
export type DeletionOrigin = Omit<EventOrigin, 'eventName'>

const deleteMarker = {
  isDeleteMarker: true,
  size: 0,
  etag: '',
  description: { headers: {}, metadata: {}, tagCount: 0 },
} satisfies Partial<ObjectVersion>

export type ObjectTable = ReturnType<typeof createObjectTable>

/**
 * Stores the objects; in a versioned bucket all their versions and delete markers. A write checks its condition,
 * replaces the object or adds a version, and records its events in one transaction. So exactly one of several
 * conditional writes succeeds, and a crash loses no event.
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

  /** Returns the given version, by default the newest. It may be a delete marker. */
  function findVersion(bucket: string, key: string, versionId?: string): ObjectVersion | undefined {
    const bytes = Buffer.from(key)
    const row =
      versionId === undefined ? selectNewest.get(bucket, bytes) : selectVersion.get(bucket, bytes, versionId)
    return row === undefined ? undefined : toVersion(row)
  }

  function findCurrent(bucket: string, key: string): ObjectVersion | undefined {
    const newest = findVersion(bucket, key)
    return newest?.isDeleteMarker ? undefined : newest
  }

  /**
   * Yields versions and delete markers of a bucket by key, and from the newest to the oldest version of a key.
   * `after` is excluded, `from` included (UTF-8).
   */
  function* versionsFrom(bucket: string, after: Buffer, from: Buffer) {
    let previousKey: string | undefined
    for (const row of selectFrom.iterate(bucket, after, from)) {
      const version = toVersion(row)
      yield { version, isLatest: version.key !== previousKey }
      previousKey = version.key
    }
  }

  /**
   * Inserts a version and removes the row that it replaces. Call it inside a transaction.
   * @returns the new row, and ids of content that is not referenced any more
   */
  function put(
    { name, versioning }: Bucket,
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
    const isVersioned = versioning === 'Enabled'
    const versionId = replica?.versionId ?? (isVersioned ? newVersionId() : nullVersion)
    const replaced = isVersioned ? undefined : findVersion(name, key, nullVersion)
    const unusedContent = replaced === undefined ? [] : removeVersion(replaced)
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
    return { version: toVersion(row), unusedContent }
  }

  /**
   * Removes a version. Call it inside a transaction.
   * @returns ids of content that is not referenced any more
   */
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
    findVersion,

    /** Returns the version of a key that was completed from a multipart upload, if it still exists. */
    findCompleted(bucket: string, key: string, uploadId: string): ObjectVersion | undefined {
      for (const { version } of versionsFrom(bucket, Buffer.alloc(0), Buffer.from(key))) {
        if (version.key !== key) return undefined
        if (version.description.uploadId === uploadId) return version
      }
      return undefined
    },

    versionsFrom,
    content,

    /** Checks the condition before the body is read. `commit` checks it again. */
    precheck(bucket: string, key: string, condition: WriteCondition) {
      checkCondition(findCurrent(bucket, key), condition)
    },

    /**
     * Creates an object from written content. It replaces the object with this key, or becomes its newest version.
     *
     * @throws S3Error NoSuchBucket, PreconditionFailed, NoSuchKey; the content then still belongs to the caller
     */
    async commit(object: NewObject): Promise<ObjectVersion> {
      const size = object.content.reduce((sum, piece) => sum + piece.size, 0)
      const { version, unusedContent } = database.transaction(() => {
        const bucket = buckets.require(object.bucket)
        checkCondition(findCurrent(object.bucket, object.key), object.condition)
        const { version, unusedContent: replaced } = put(bucket, object.key, {
          ...object,
          isDeleteMarker: false,
          size,
        })
        const unusedContent = new Set(replaced)
        if (object.uploadId !== undefined) {
          for (const row of partContent.all(object.uploadId)) unusedContent.add(text(row, 'content_id'))
          removeUpload.run(object.uploadId)
        }
        object.content.forEach((piece, position) => {
          insertContent.run(version.id, position, piece.contentId, piece.size)
          unusedContent.delete(piece.contentId)
        })
        outbox.record(bucket, object.origin, version)
        return { version, unusedContent: [...unusedContent] }
      })
      outbox.deliverRecorded()
      await files.discard(unusedContent)
      return version
    },

    /**
     * Deletes an object, or one of its versions for good. A bucket that has or had versioning gets a delete marker
     * instead, as on S3 even if there is no object.
     *
     * @param options.ifMatch required etag of the current version
     * @returns the version that was created or deleted; `undefined` if there was none
     * @throws S3Error NoSuchBucket, NoSuchKey, PreconditionFailed, NotImplemented
     */
    async delete(
      bucketName: string,
      key: string,
      options: { versionId: string | undefined; ifMatch: string | undefined },
      origin: DeletionOrigin,
    ): Promise<ObjectVersion | undefined> {
      const { versionId, ifMatch } = options
      if (versionId !== undefined && ifMatch !== undefined) {
        throw headerNotImplemented('If-Match')
      }
      const { version, unusedContent } = database.transaction(() => {
        const bucket = buckets.require(bucketName)
        if (ifMatch !== undefined)
          checkCondition(findCurrent(bucketName, key), { ifNoneMatch: false, ifMatch })
        if (versionId === undefined && bucket.versioning !== undefined) {
          const { version, unusedContent } = put(bucket, key, deleteMarker)
          outbox.record(
            bucket,
            { ...origin, eventName: 'ObjectRemoved:DeleteMarkerCreated' },
            { key, versionId: version.versionId },
          )
          return { version, unusedContent }
        }
        const version = findVersion(bucketName, key, versionId)
        if (version === undefined) return { version, unusedContent: [] }
        const unusedContent = removeVersion(version)
        outbox.record(
          bucket,
          { ...origin, eventName: 'ObjectRemoved:Delete' },
          { key, versionId: version.versionId },
        )
        return { version, unusedContent }
      })
      outbox.deliverRecorded()
      await files.discard(unusedContent)
      return version
    },

    /** Yields objects of a bucket in key order. `after` is excluded, `from` included (UTF-8). */
    *from(bucket: string, after: Buffer, from: Buffer): Generator<ObjectVersion> {
      for (const { version, isLatest } of versionsFrom(bucket, after, from)) {
        if (isLatest && !version.isDeleteMarker) yield version
      }
    },

    /** Returns the ranges of content files that make up the bytes `start` to `end` (inclusive) of an object. */
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

    /** Returns the ids of all content files that a row references. */
    contentInUse: () => new Set(allContent.all().map((row) => text(row, 'content_id'))),
  }
}

function toVersion(row: Row): ObjectVersion {
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
