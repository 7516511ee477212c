import { randomBytes } from 'node:crypto'
import type { ChecksumAlgorithm, ChecksumType } from '../bodies/checksums.ts'
import { checksumAlgorithm } from '../bodies/checksums.ts'
import { S3Error } from '../protocol/s3-error.ts'
import type { BucketTable } from './bucket-table.ts'
import type { ObjectDescription } from './object-description.ts'
import { integer, keyText, optionalText, type Row, type S3Database, text } from './s3-database.ts'

/** The description of the object to create, and the checksum algorithm that all parts must use. */
export type MultipartUploadDescription = ObjectDescription & {
  parts: { algorithm: ChecksumAlgorithm | undefined; type: ChecksumType | undefined }
}

export type MultipartUpload = {
  id: string
  bucket: string
  key: string
  /** Milliseconds since 1970. */
  initiatedAt: number
  description: MultipartUploadDescription
}

export type UploadedPart = {
  number: number
  contentId: string
  /** Bytes. */
  size: number
  /** MD5 in hex, without quotes. */
  etag: string
  modifiedAt: number
  checksum: { algorithm: ChecksumAlgorithm; value: string } | undefined
}

export type MultipartUploadTable = ReturnType<typeof createMultipartUploadTable>

/** Stores the open multipart uploads and their parts. */
export function createMultipartUploadTable(deps: { database: S3Database; buckets: BucketTable }) {
  const { database, buckets } = deps
  const insert = database.prepare('INSERT INTO upload VALUES (?, ?, ?, ?, ?)')
  const select = database.prepare('SELECT * FROM upload WHERE id = ? AND bucket = ? AND key = ?')
  const remove = database.prepare('DELETE FROM upload WHERE id = ?')
  const selectPart = database.prepare('SELECT * FROM part WHERE upload_id = ? AND number = ?')
  const selectParts = database.prepare(
    'SELECT * FROM part WHERE upload_id = ? AND number > ? ORDER BY number LIMIT ?',
  )
  const replacePart = database.prepare('INSERT OR REPLACE INTO part VALUES (?, ?, ?, ?, ?, ?, ?, ?)')
  const selectFrom = database.prepare(
    'SELECT * FROM upload WHERE bucket = ? AND key >= ? ORDER BY key, initiated_at, id',
  )

  function find(id: string, bucket: string, key: string): MultipartUpload | undefined {
    const row = select.get(id, bucket, Buffer.from(key))
    return row === undefined ? undefined : toUpload(row)
  }

  /** @throws S3Error NoSuchBucket, NoSuchUpload */
  function require(id: string, bucket: string, key: string): MultipartUpload {
    buckets.require(bucket)
    const upload = find(id, bucket, key)
    if (upload === undefined) throw new S3Error('NoSuchUpload', undefined, { UploadId: id })
    return upload
  }

  function parts(uploadId: string, after: number, limit: number): UploadedPart[] {
    return selectParts.all(uploadId, after, limit).map(toPart)
  }

  return {
    find,
    require,
    parts,

    /** @returns the new upload's id */
    create(bucket: string, key: string, description: MultipartUploadDescription): string {
      const id = randomBytes(48).toString('base64url')
      insert.run(id, bucket, Buffer.from(key), Date.now(), JSON.stringify(description))
      return id
    },

    /**
     * Adds a written part. It replaces a part of the same number.
     *
     * @returns ids of content files that are not referenced any more
     * @throws S3Error NoSuchUpload if the upload was completed or aborted while the part was sent
     */
    putPart(upload: MultipartUpload, part: UploadedPart): string[] {
      return database.transaction(() => {
        require(upload.id, upload.bucket, upload.key)
        const replaced = selectPart.get(upload.id, part.number)
        replacePart.run(
          upload.id,
          part.number,
          part.contentId,
          part.size,
          part.etag,
          part.modifiedAt,
          part.checksum?.algorithm ?? null,
          part.checksum?.value ?? null,
        )
        return replaced === undefined ? [] : [text(replaced, 'content_id')]
      })
    },

    /**
     * Deletes an upload and its parts.
     *
     * @returns ids of content files that are not referenced any more
     */
    abort(upload: MultipartUpload): string[] {
      return database.transaction(() => {
        const contentIds = parts(upload.id, 0, -1).map((part) => part.contentId)
        remove.run(upload.id)
        return contentIds
      })
    },

    /** Yields a bucket's open uploads by key, then from the oldest to the newest. `from` is the first key (UTF-8). */
    *from(bucket: string, from: Buffer): Generator<MultipartUpload> {
      for (const row of selectFrom.iterate(bucket, from)) yield toUpload(row)
    },
  }
}

function toUpload(row: Row): MultipartUpload {
  return {
    id: text(row, 'id'),
    bucket: text(row, 'bucket'),
    key: keyText(row, 'key'),
    initiatedAt: integer(row, 'initiated_at'),
    description: JSON.parse(text(row, 'description')),
  }
}

function toPart(row: Row): UploadedPart {
  const algorithm = optionalText(row, 'checksum_algorithm')
  return {
    number: integer(row, 'number'),
    contentId: text(row, 'content_id'),
    size: integer(row, 'size'),
    etag: text(row, 'etag'),
    modifiedAt: integer(row, 'modified_at'),
    checksum:
      algorithm === undefined
        ? undefined
        : { algorithm: checksumAlgorithm(algorithm), value: text(row, 'checksum') },
  }
}
