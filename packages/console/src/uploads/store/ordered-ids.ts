/**
 * Ids of uploads in the order of a list. They are UUIDv7, so that their order is that of the creation of the uploads.
 */
export type Ids = readonly string[]
export type Order = 'newest' | 'oldest'

/** Whether an id comes before another one. */
export function comesBefore(id: string, other: string, order: Order): boolean {
  return order === 'newest' ? id > other : id < other
}

/** Returns the position that an id has or would have. */
export function positionOf(ids: Ids, id: string, order: Order): number {
  let from = 0
  let to = ids.length
  while (from < to) {
    const middle = (from + to) >>> 1
    if (comesBefore(ids[middle] ?? '', id, order)) from = middle + 1
    else to = middle
  }
  return from
}

export function hasId(ids: Ids, id: string, order: Order): boolean {
  return ids[positionOf(ids, id, order)] === id
}

/** Returns the ids with another one. They are the same array if it is among them. */
export function withId(ids: Ids, id: string, order: Order): Ids {
  const at = positionOf(ids, id, order)
  return ids[at] === id ? ids : ids.toSpliced(at, 0, id)
}

/** Returns the ids without some. They are the same array if none of these is among them. */
export function withoutIds(ids: Ids, removed: ReadonlySet<string>): Ids {
  return ids.some((id) => removed.has(id)) ? ids.filter((id) => !removed.has(id)) : ids
}

/** A stretch of a list: after `after`, up to and with `until`. Undefined: from its beginning, to its end. */
export type Stretch = { after?: string | undefined; until?: string | undefined }

export function isWithin(id: string, { after, until }: Stretch, order: Order): boolean {
  const isAfter = after === undefined || comesBefore(after, id, order)
  return isAfter && (until === undefined || id === until || comesBefore(id, until, order))
}
