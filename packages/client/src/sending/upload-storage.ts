/** Stores short texts, so that another page or process can resume uploads. It may be asynchronous. */
export type UploadStorage = {
  get(key: string): string | null | undefined | Promise<string | null | undefined>
  set(key: string, value: string): unknown
  remove(key: string): unknown
}

/** The part of the DOM's localStorage that is used. Node's types have none. */
type LocalStorage = {
  readonly length: number
  key(index: number): string | null
  getItem(key: string): string | null
  setItem(key: string, value: string): void
  removeItem(key: string): void
}
declare const localStorage: LocalStorage
declare const document: object | undefined

/** Begins the names of the entries in localStorage. */
const prefix = 'millrace-upload-'

/**
 * Returns the page's localStorage. Entries of files that nobody chose again would stay for ever, so each new entry removes
 * those that have expired.
 *
 * @param hasExpired whether an entry with this value can be removed
 * @returns undefined outside of pages: Node's own localStorage needs a file, and workers have none
 */
export function pageStorage(hasExpired: (value: string) => boolean): UploadStorage | undefined {
  if (typeof document === 'undefined') return undefined
  return {
    get: (key) => localStorage.getItem(prefix + key),
    set(key, value) {
      const names = Array.from({ length: localStorage.length }, (_, index) => localStorage.key(index))
      for (const name of names) {
        if (name?.startsWith(prefix) && hasExpired(localStorage.getItem(name) ?? '')) {
          localStorage.removeItem(name)
        }
      }
      localStorage.setItem(prefix + key, value)
    },
    remove: (key) => localStorage.removeItem(prefix + key),
  }
}
