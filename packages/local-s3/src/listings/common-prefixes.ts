/** Where a listing continues: after a key, or after all keys with a prefix. */
export type Position = { key: string; isPrefix: boolean }

/** An entry of a listing, or the common prefix that stands for several. */
export type Grouped<Entry> =
  | { entry: Entry; commonPrefix: undefined }
  | { entry: undefined; commonPrefix: string }

/** Returns the first byte string after all keys that start with a prefix. */
function endOfPrefix(prefix: Buffer): Buffer {
  const next = Buffer.from(prefix)
  // UTF-8 never contains 0xFF, so the last byte can always be incremented.
  next[next.length - 1] = (next[next.length - 1] ?? 0) + 1
  return next
}

/** Returns the common prefix of a key; `undefined` if no delimiter follows the prefix. */
function commonPrefixOf(key: string, prefix: string, delimiter: string): string | undefined {
  const cut = delimiter === '' || !key.startsWith(prefix) ? -1 : key.indexOf(delimiter, prefix.length)
  return cut < 0 ? undefined : key.slice(0, cut + delimiter.length)
}

/**
 * Returns the position of a key marker. A marker within a common prefix stands for the whole prefix, so that the next
 * marker of a page that ends with a prefix continues after it. AWS does the same for any key within (LocalStack's
 * recorded test `test_list_objects_marker_common_prefixes`).
 */
export function positionOfMarker(marker: string, prefix: string, delimiter: string): Position {
  const commonPrefix = commonPrefixOf(marker, prefix, delimiter)
  return commonPrefix === undefined ? { key: marker, isPrefix: false } : { key: commonPrefix, isPrefix: true }
}

/**
 * Yields entries with a prefix in key order. Entries whose keys have a common prefix are replaced by it.
 *
 * @param options.position where to start
 * @param options.includesKey whether to start with the key of the position, instead of after it
 * @param options.scan yields entries in key order; `after` is excluded, `from` included (UTF-8)
 */
export function* groupByDelimiter<Entry>(options: {
  prefix: string
  delimiter: string
  position: Position
  includesKey?: boolean
  keyOf: (entry: Entry) => string
  scan: (after: Buffer, from: Buffer) => Iterable<Entry>
}): Generator<Grouped<Entry>> {
  const { prefix, delimiter, position, includesKey = false, keyOf, scan } = options
  const prefixBytes = Buffer.from(prefix)
  const start = Buffer.from(position.key)
  const startsWithin = !position.isPrefix
  let after = startsWithin && !includesKey ? start : Buffer.alloc(0)
  let from = startsWithin ? start : endOfPrefix(start)
  if (Buffer.compare(from, prefixBytes) < 0) from = prefixBytes
  for (let skipped = true; skipped; ) {
    skipped = false
    for (const entry of scan(after, from)) {
      const key = keyOf(entry)
      if (!key.startsWith(prefix)) return
      const commonPrefix = commonPrefixOf(key, prefix, delimiter)
      if (commonPrefix === undefined) {
        yield { entry, commonPrefix }
        continue
      }
      yield { entry: undefined, commonPrefix }
      // A new query starts after the common prefix, so its other keys are not read.
      after = Buffer.alloc(0)
      from = endOfPrefix(Buffer.from(commonPrefix))
      skipped = true
      break
    }
  }
}

/**
 * Takes one page of a listing.
 *
 * @param size the most entries and common prefixes together; 0 takes an empty page, which is never truncated
 * @returns `last`: the last entry or common prefix of the page
 */
export function takePage<Entry>(grouped: Iterable<Grouped<Entry>>, size: number) {
  const entries: Entry[] = []
  const commonPrefixes: string[] = []
  let last: Grouped<Entry> | undefined
  if (size === 0) return { entries, commonPrefixes, last, truncated: false }
  for (const item of grouped) {
    if (entries.length + commonPrefixes.length >= size)
      return { entries, commonPrefixes, last, truncated: true }
    if (item.commonPrefix === undefined) entries.push(item.entry)
    else commonPrefixes.push(item.commonPrefix)
    last = item
  }
  return { entries, commonPrefixes, last, truncated: false }
}
