import { S3Error } from '../protocol/s3-error.ts'
import { integer, optionalText, type S3Database, text } from './s3-database.ts'

/** The `Status` of a bucket that has, or once had, versioning (S3 API, "PutBucketVersioning"). */
export type Versioning = 'Enabled' | 'Suspended'

/** A bucket and its configurations, as JSON of bucket-cors.ts and bucket-notifications.ts. */
export type Bucket = {
  name: string
  /** Milliseconds since 1970. */
  createdAt: number
  cors: string | undefined
  notification: string | undefined
  /** Enabled: each write creates a version. Suspended: old versions stay, new writes share the version `null`. */
  versioning: Versioning | undefined
}

export type BucketTable = ReturnType<typeof createBucketTable>

/** Stores the buckets and their configurations. */
export function createBucketTable(database: S3Database) {
  const select = database.prepare('SELECT * FROM bucket WHERE name = ?')
  const selectAll = database.prepare('SELECT * FROM bucket ORDER BY name')
  const insert = database.prepare('INSERT INTO bucket (name, created_at) VALUES (?, ?)')
  const remove = database.prepare('DELETE FROM bucket WHERE name = ?')
  const update = {
    cors: database.prepare('UPDATE bucket SET cors = ? WHERE name = ?'),
    notification: database.prepare('UPDATE bucket SET notification = ? WHERE name = ?'),
    versioning: database.prepare('UPDATE bucket SET versioning = ? WHERE name = ?'),
  }
  const isUsed = database.prepare(
    'SELECT 1 FROM object WHERE bucket = :name UNION ALL SELECT 1 FROM upload WHERE bucket = :name LIMIT 1',
  )

  function find(name: string): Bucket | undefined {
    const row = select.get(name)
    if (row === undefined) return undefined
    return {
      name: text(row, 'name'),
      createdAt: integer(row, 'created_at'),
      cors: optionalText(row, 'cors'),
      notification: optionalText(row, 'notification'),
      versioning: toVersioning(optionalText(row, 'versioning')),
    }
  }

  /** @throws S3Error NoSuchBucket */
  function require(name: string): Bucket {
    const bucket = find(name)
    if (bucket === undefined) throw new S3Error('NoSuchBucket', undefined, { BucketName: name })
    return bucket
  }

  return {
    find,
    require,
    list: () =>
      selectAll.all().map((row) => ({ name: text(row, 'name'), createdAt: integer(row, 'created_at') })),
    /** @throws S3Error BucketAlreadyOwnedByYou */
    create(name: string) {
      if (find(name) !== undefined)
        throw new S3Error('BucketAlreadyOwnedByYou', undefined, { BucketName: name })
      insert.run(name, Date.now())
    },
    /** @throws S3Error NoSuchBucket, BucketNotEmpty */
    delete(name: string) {
      require(name)
      // S3 deletes a bucket together with its open uploads. Here they must be aborted first, so that no part remains.
      if (isUsed.get({ name }) !== undefined)
        throw new S3Error('BucketNotEmpty', undefined, { BucketName: name })
      remove.run(name)
    },
    /** Sets one configuration; `undefined` removes it. */
    configure(name: string, kind: keyof typeof update, value: string | undefined) {
      update[kind].run(value ?? null, name)
    },
  }
}

/** Returns the status that a text names; `undefined` if it names none. */
export function toVersioning(status: string | undefined): Versioning | undefined {
  return status === 'Enabled' || status === 'Suspended' ? status : undefined
}
