import type { ListFilter, Upload } from '@millrace/client'

/** States in the order in which an upload reaches them. */
export const uploadStates = ['awaiting', 'received', 'processing', 'ready', 'rejected', 'failed'] as const
export type UploadState = (typeof uploadStates)[number]

/** Which uploads the page shows, as its address has it. */
export type UploadQuery = {
  /** What was typed: the beginning of a filename, and `name=value` for each field of the metadata. */
  search: string
  /** Empty: all states. */
  states: readonly UploadState[]
  order: 'newest' | 'oldest'
  /** A user of the tenant, for its administrator. Empty: the own uploads. */
  user: string
}

/** Reads the query from the page's address. Unknown values are ignored. */
export function readQuery(address: URLSearchParams): UploadQuery {
  const named = (address.get('state') ?? '').split(',')
  return {
    search: address.get('search') ?? '',
    states: uploadStates.filter((state) => named.includes(state)),
    order: address.get('order') === 'oldest' ? 'oldest' : 'newest',
    user: address.get('user') ?? '',
  }
}

/** Writes a query into the page's address. Its other parameters stay, and defaults are left out. */
export function writeQuery(address: URLSearchParams, query: UploadQuery): URLSearchParams {
  const next = new URLSearchParams(address)
  const parameters = {
    search: query.search,
    state: query.states.join(','),
    order: query.order === 'newest' ? '' : query.order,
    user: query.user,
  }
  for (const [name, value] of Object.entries(parameters)) {
    if (value === '') next.delete(name)
    else next.set(name, value)
  }
  return next
}

/** Whether two queries show the same uploads in the same order. */
export function isSameQuery(one: UploadQuery, other: UploadQuery): boolean {
  const texts = [one, other].map((query) => writeQuery(new URLSearchParams(), query).toString())
  return texts[0] === texts[1]
}

/** Whether a query leaves out some of the uploads. */
export function isFiltered({ search, states }: UploadQuery): boolean {
  return search.trim() !== '' || states.length > 0
}

/** Returns the parameters of `GET /uploads` for a query. */
export function listFilterOf({ search, states, order, user }: UploadQuery): ListFilter {
  const { prefix, metadata } = readSearch(search)
  return {
    order,
    ...(prefix !== '' && { prefix }),
    ...(Object.keys(metadata).length > 0 && { metadata }),
    ...(states.length > 0 && { state: [...states] }),
    ...(user !== '' && { user }),
  }
}

/** Whether an upload is among those of a query: as the API decides it, for uploads that events tell of. */
export function matchesQuery(upload: Upload, { search, states, user }: UploadQuery): boolean {
  if (user !== '' && upload.user !== user) return false
  if (states.length > 0 && !states.includes(upload.state)) return false
  const { prefix, metadata } = readSearch(search)
  if (!upload.filename.normalize().startsWith(prefix.normalize())) return false
  return Object.entries(metadata).every(([name, value]) => upload.metadata?.[name] === value)
}

/** Divides what was typed: words of the form `name=value` are metadata, the others begin a filename. */
function readSearch(search: string): { prefix: string; metadata: Record<string, string> } {
  const metadata: Record<string, string> = {}
  const words = search
    .trim()
    .split(/\s+/)
    .filter((word) => {
      // The names that the API accepts.
      const [, name, value] = /^([A-Za-z0-9][A-Za-z0-9_.-]{0,63})=(.+)$/.exec(word) ?? []
      if (name === undefined || value === undefined) return true
      metadata[name] = value
      return false
    })
  return { prefix: words.join(' '), metadata }
}
