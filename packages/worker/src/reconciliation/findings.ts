import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'

/** What a sweep looks for, with the words of the report. */
export const findingKinds = {
  'unconfirmed-erasure': 'erasures that were not confirmed',
  'original-without-manifest': 'originals without a manifest',
  'original-of-other-bytes': 'originals whose manifest describes other bytes',
  'manifest-without-original': 'manifests without an original (not rejected)',
  'unfinished-record': 'records that say unfinished although there is a manifest',
  'record-without-object': 'records of uploads that S3 does not have',
  'id-without-upload': 'listed ids without a record and without an object',
  'expired-parts': 'expired uploads with parts or unfinished bytes',
  'replaced-variants': 'uploads with variants that were replaced some hours ago',
} as const
export type FindingKind = keyof typeof findingKinds

/**
 * What a sweep counts besides. `young`: originals that are left to their SQS message. `waiting`: unfinished originals that
 * have a job. `deferred`: unfinished originals that got no job, because the queue is full. `compared`: uploads whose
 * manifest was read. `checked`: findings that were corrected. `failed`: uploads that could not be read or corrected.
 */
export type Counter =
  | FindingKind
  | 'originals'
  | 'manifests'
  | 'young'
  | 'waiting'
  | 'deferred'
  | 'compared'
  | 'checked'
  | 'failed'

/**
 * Counts what a sweep finds.
 *
 * @param options.before the counts of an interrupted run that is continued
 * @param options.maxIds how many uploads of each kind are named
 */
export function createFindings(options: { before?: Record<string, number>; maxIds?: number } = {}) {
  const { before = {}, maxIds = 0 } = options
  const counts = new Map(Object.entries(before))
  const named = new Map<FindingKind, string[]>()

  function count(counter: Counter, by = 1): void {
    if (by > 0) counts.set(counter, (counts.get(counter) ?? 0) + by)
  }

  return {
    count,
    add(kind: FindingKind, { owner, id }: UploadAddress): void {
      count(kind)
      const ids = named.get(kind) ?? []
      if (ids.length < maxIds) named.set(kind, [...ids, `${owner}/${id}`])
    },
    /** Returns all counts that are not 0. */
    counts: (): Record<string, number> => Object.fromEntries(counts),
    /** Returns the first uploads of a kind, as `owner/id`. */
    named: (kind: FindingKind): readonly string[] => named.get(kind) ?? [],
    /** Returns the first uploads of all kinds that were found. */
    allNamed: (): Record<string, readonly string[]> => Object.fromEntries(named),
  }
}

export type Findings = ReturnType<typeof createFindings>
