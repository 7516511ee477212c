import { DatabaseSync, type SQLOutputValue } from 'node:sqlite'

/** Raise it with each change of the tables. A directory of another version is rejected. */
const schemaVersion = 2

/*
 * An object is one row, and its bytes are in content files, in order: one file after PutObject, one per part after
 * CompleteMultipartUpload. Keys are BLOBs, so that the index sorts them by their UTF-8 bytes, as S3 does.
 * In a versioned bucket a key has several rows. The row with the highest id is the current version.
 * A delete marker is a row without content.
 * `description` is JSON: headers, user metadata, checksum. `event` is the outbox.
 */
const schema = `
CREATE TABLE bucket (
  name TEXT PRIMARY KEY, created_at INTEGER NOT NULL, cors TEXT, notification TEXT, versioning TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE object (
  id INTEGER PRIMARY KEY AUTOINCREMENT, bucket TEXT NOT NULL REFERENCES bucket, key BLOB NOT NULL,
  version_id TEXT NOT NULL, is_delete_marker INTEGER NOT NULL,
  size INTEGER NOT NULL, etag TEXT NOT NULL, modified_at INTEGER NOT NULL, description TEXT NOT NULL,
  UNIQUE (bucket, key, version_id)
) STRICT;
CREATE INDEX object_by_key ON object (bucket, key, id DESC);
CREATE TABLE object_content (
  object_id INTEGER NOT NULL REFERENCES object ON DELETE CASCADE, position INTEGER NOT NULL,
  content_id TEXT NOT NULL, size INTEGER NOT NULL, PRIMARY KEY (object_id, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE upload (
  id TEXT PRIMARY KEY, bucket TEXT NOT NULL REFERENCES bucket, key BLOB NOT NULL,
  initiated_at INTEGER NOT NULL, description TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX upload_by_key ON upload (bucket, key, initiated_at, id);
CREATE TABLE part (
  upload_id TEXT NOT NULL REFERENCES upload ON DELETE CASCADE, number INTEGER NOT NULL,
  content_id TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL, modified_at INTEGER NOT NULL,
  checksum_algorithm TEXT, checksum TEXT, PRIMARY KEY (upload_id, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE event (
  id INTEGER PRIMARY KEY AUTOINCREMENT, lane TEXT NOT NULL, queue_arn TEXT NOT NULL, body TEXT NOT NULL
) STRICT;
CREATE INDEX event_by_lane ON event (lane, id);
CREATE TABLE sequence (value INTEGER NOT NULL) STRICT;
INSERT INTO sequence VALUES (0);
`

export type Row = Record<string, SQLOutputValue>
export type S3Database = ReturnType<typeof openS3Database>

/**
 * Opens the SQLite file with all tables. Each change is one transaction, so a process killed at any moment leaves
 * either all of it or nothing. The file is locked while open: a second server on the same directory fails here.
 *
 * @param path the file, created if missing
 * @throws Error with the code ERR_S3_DIRECTORY if another process has it open, or another version of this server wrote it
 */
export function openS3Database(path: string) {
  const database = new DatabaseSync(path, { enableForeignKeyConstraints: true })
  try {
    // No sync per commit: a killed process loses nothing; a power cut may lose the last moments.
    database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL')
    database.exec('BEGIN IMMEDIATE')
    const version = database.prepare('PRAGMA user_version').get()?.['user_version']
    if (version === 0) database.exec(`${schema} PRAGMA user_version = ${schemaVersion}`)
    else if (version !== schemaVersion) {
      throw directoryError(
        `${path} was written by another version of the local S3 server: remove its directory, or use another one.`,
      )
    }
    database.exec('COMMIT')
  } catch (error) {
    database.close()
    const isLocked = error instanceof Error && error.message.includes('locked')
    throw isLocked ? directoryError(`${path} is in use by another local S3 server.`, error) : error
  }

  return {
    prepare: (sql: string) => database.prepare(sql),
    /** Runs `change` as one transaction and rolls back if it throws. `change` must not await. */
    transaction<Result>(change: () => Result): Result {
      database.exec('BEGIN IMMEDIATE')
      try {
        const result = change()
        database.exec('COMMIT')
        return result
      } catch (error) {
        database.exec('ROLLBACK')
        throw error
      }
    },
    close: () => database.close(),
  }
}

/** Makes an error whose message is for the user: the directory cannot be used as it is. */
function directoryError(message: string, cause?: unknown): Error {
  return Object.assign(new Error(message, { cause }), { code: 'ERR_S3_DIRECTORY' })
}

/** Reads a TEXT column. */
export function text(row: Row, column: string): string {
  const value = row[column]
  if (typeof value !== 'string') throw new TypeError(`${column} is not text`)
  return value
}

/** Reads a TEXT column that may be NULL. */
export function optionalText(row: Row, column: string): string | undefined {
  return row[column] === null ? undefined : text(row, column)
}

/** Reads an INTEGER column. */
export function integer(row: Row, column: string): number {
  const value = row[column]
  if (typeof value !== 'number') throw new TypeError(`${column} is not an integer`)
  return value
}

/** Reads a BLOB column that contains a key. */
export function keyText(row: Row, column: string): string {
  const value = row[column]
  if (!(value instanceof Uint8Array)) throw new TypeError(`${column} is not a key`)
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('utf8')
}
