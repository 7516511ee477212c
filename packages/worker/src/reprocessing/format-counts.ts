import type { Count, Counts } from './reprocess-outdated.ts'

/** The counts in the order of the report, with its words. */
const words = {
  read: 'manifests were read',
  upToDate: 'are up to date',
  outdated: 'are outdated',
  queued: 'of these got a job',
  waiting: 'of these already had a job',
  otherPreset: 'have another preset',
  presetRemoved: 'have a preset that is not configured any more',
  bytesDeleted: 'were rejected, and their bytes deleted',
  bytesMissing: 'have no original',
  bytesReplaced: 'were sent again, and have a job of their own',
  copies: 'belong to another region',
  unreadable: 'manifests of a newer version could not be read',
} as const satisfies Record<Count, string>

/** Returns the counts as text for people, one line each. */
export function formatCounts(counts: Counts): string {
  const numbers = new Map(Object.entries(counts))
  return Object.entries(words)
    .map(([name, text]) => `${String(numbers.get(name) ?? 0).padStart(9)}  ${text}\n`)
    .join('')
}
