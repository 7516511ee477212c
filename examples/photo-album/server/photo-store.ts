import { EventEmitter } from 'node:events'
import { DatabaseSync } from 'node:sqlite'

/** A photo of the album. Its id is that of its upload in Millrace, which keeps the files. */
export type Photo = { id: string; user: string; title: string; width: number; height: number }

/** Opens the album's database: which photo belongs to whom. Only webhooks add photos. */
export function createPhotoStore(file: string) {
  const database = new DatabaseSync(file)
  database.exec(`
    CREATE TABLE IF NOT EXISTS photos (
      id TEXT PRIMARY KEY, user TEXT NOT NULL, title TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL
    ) STRICT`)
  // A webhook may come twice, and then nothing changes.
  const insert = database.prepare(
    'INSERT INTO photos (id, user, title, width, height) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
  )
  const select = database.prepare(
    'SELECT id, title, width, height FROM photos WHERE user = ? ORDER BY id DESC',
  )
  const selectOne = database.prepare('SELECT 1 FROM photos WHERE user = ? AND id = ?')
  const remove = database.prepare('DELETE FROM photos WHERE user = ? AND id = ?')
  const changes = new EventEmitter<Record<string, []>>().setMaxListeners(0)

  return {
    add({ id, user, title, width, height }: Photo): void {
      insert.run(id, user, title, width, height)
      changes.emit(user)
    },
    /** The user's photos, newest first: ids of uploads begin with their time. */
    list: (user: string) => select.all(user),
    has: (user: string, id: string) => selectOne.get(user, id) !== undefined,
    remove(user: string, id: string): void {
      remove.run(user, id)
      changes.emit(user)
    },
    /** Calls `listener` after each change of the user's photos. @returns a function that ends it */
    onChange(user: string, listener: () => void): () => void {
      changes.on(user, listener)
      return () => changes.off(user, listener)
    },
    close: () => database.close(),
  }
}

export type PhotoStore = ReturnType<typeof createPhotoStore>
