import { type Counter, type FindingKind, type Findings, findingKinds } from './findings.ts'

/** Counters that are not findings, with the words of the report. */
const otherCounters = {
  originals: 'originals',
  manifests: 'manifests',
  compared: 'manifests that were read, because dates alone do not show what they describe',
  young: 'originals without a manifest that are young: their SQS messages bring them back',
  waiting: 'unfinished originals that have a job',
  deferred: 'unfinished originals that got no job, because the queue is full',
  failed: 'uploads that could not be read or corrected: see the log',
} as const satisfies Partial<Record<Counter, string>>

/**
 * Returns what a sweep found as text for people: counts by kind, each with the first uploads as `owner/id`.
 *
 * @param options.isDryRun says what would be done instead of what was done
 */
export function formatSweep(findings: Findings, { isDryRun }: { isDryRun: boolean }): string {
  const counts = findings.counts()
  const line = (name: string, words: string) => `${String(counts[name] ?? 0).padStart(9)}  ${words}`
  const kinds = Object.entries(findingKinds).flatMap(([name, words]) => [
    line(name, words),
    ...namesOf(findings, name).map((upload) => `${' '.repeat(11)}${upload}`),
  ])
  const found = Object.keys(findingKinds).reduce((sum, name) => sum + (counts[name] ?? 0), 0)
  // Orphans are finished as their manifests say: nothing is done about them.
  const correctable = found - (counts['manifest-without-original'] ?? 0)
  return [
    'Read:',
    ...Object.entries(otherCounters).map(([name, words]) => line(name, words)),
    '',
    'Found:',
    ...kinds,
    '',
    isDryRun
      ? `Dry run: ${correctable} would be corrected, nothing was changed.`
      : `${counts['checked'] ?? 0} of ${correctable} were corrected.`,
    '',
  ].join('\n')
}

function namesOf(findings: Findings, name: string): readonly string[] {
  return isKind(name) ? findings.named(name) : []
}

function isKind(name: string): name is FindingKind {
  return name in findingKinds
}
