import { numberOfFilename } from './files.ts'
import type { Crash } from './fleet.ts'
import type { Ledger, LedgerUpload } from './ledger.ts'
import type { RedisEvidence } from './redis-evidence.ts'
import type { SentUpload } from './sent-upload.ts'
import type { Leak, Told } from './watchers.ts'

/** What the API says about one upload. Without `state`: it has none, because of its status. */
export type View = { status: number; state?: string; sha256?: string; variants: string[] }

/** Everything that is known at the end of a run. */
export type Evidence = {
  sent: readonly SentUpload[]
  ledger: Ledger
  /** What `GET /uploads/{id}` says to the owner, by id. */
  views: ReadonlyMap<string, View>
  /** What `GET /uploads` says: states by owner and id. */
  lists: ReadonlyMap<string, ReadonlyMap<string, string>>
  /** The status of `GET /uploads/{id}` for another owner, by id. */
  strangers: ReadonlyMap<string, number>
  /** What watchers were told: of single uploads by id, of all uploads by owner and id. */
  told: ReadonlyMap<string, Told>
  toldOwners: ReadonlyMap<string, ReadonlyMap<string, string>>
  leaks: readonly Leak[]
  crashes: readonly Crash[]
  /** Services that still had writes refused by a demoted Redis when the fault ended. */
  staleServices: readonly string[]
  messages: { waiting: number; invisible: number; dead: number }
  redis: RedisEvidence
}

export type ViolationKind =
  | 'lost'
  | 'unfinished'
  | 'wrong-bytes'
  | 'wrong-outcome'
  | 'outcome-changed'
  | 'manifest-doubled'
  | 'variant-missing'
  | 'variant-damaged'
  | 'orphan'
  | 'rejected-bytes-kept'
  | 'erased-remains'
  | 'erased-visible'
  | 'erasure-refused'
  | 'key-doubled'
  | 'view-disagrees'
  | 'list-disagrees'
  | 'not-told'
  | 'owner-not-told'
  | 'seen-by-another-owner'
  | 'jobs-left'
  | 'messages-left'
  | 'dead-letters'
  | 'redis-grew'
  | 'stale-connection'
  | 'crash'
  | 'unknown-key'

/** A promise that was broken, with the evidence in words. */
export type Violation = { kind: ViolationKind; id?: string; number?: number; sentence: string }

/** Redis may keep this much more than before the run, besides records and lists that expire: fragmentation. In bytes. */
const redisToleranceBytes = 8 * 1024 * 1024

/** Redis may keep so many keys of one kind without expiry: a few by owner or process, but not one by upload. */
const lastingKeysOfAKind = 20

/**
 * Compares what clients were told with what S3 has. The judgement depends on the evidence alone: it reads no clock and
 * asks no service.
 */
export function judge(evidence: Evidence): Violation[] {
  const { ledger, sent } = evidence
  const byNumber = new Map(sent.map((upload) => [upload.number, upload]))
  const receipts = new Set(sent.flatMap(({ erasure }) => (erasure?.answer === 'receipt' ? [erasure.id] : [])))
  const sentOf = (upload: LedgerUpload) => byNumber.get(numberOf(upload) ?? -1)
  const isErased = (id: string) => receipts.has(id) || ledger.uploads.get(id)?.isMarked === true

  return [
    ...[...ledger.uploads.values()].flatMap((upload) =>
      isErased(upload.id)
        ? judgeErased(upload, sentOf(upload))
        : [...judgeStored(upload, sentOf(upload)), ...judgeTold(upload, sentOf(upload), evidence)],
    ),
    ...judgeViewsOfErased(),
    ...sent.flatMap((upload) => judgeSent(upload, evidence, isErased)),
    ...judgeLists(evidence, isErased),
    ...judgeSystem(evidence),
  ]

  function judgeViewsOfErased(): Violation[] {
    return [...evidence.views].flatMap(([id, { status, state }]) =>
      isErased(id) && status !== 404
        ? [violation('erased-visible', id, `was erased, but GET says ${status} ${state ?? ''}`)]
        : [],
    )
  }
}

/** Returns the number in the name of the upload's file. */
export function numberOf({ current, manifests }: LedgerUpload): number | undefined {
  return numberOfFilename(current?.filename ?? manifests[0]?.content.filename ?? '')
}

/** Whether S3 has the bytes of an upload, or what was found in them. */
function isStored({ current, manifests }: LedgerUpload): boolean {
  return current !== undefined || manifests.length > 0
}

function violation(kind: ViolationKind, id: string, sentence: string, sent?: SentUpload): Violation {
  return { kind, id, ...(sent && { number: sent.number }), sentence }
}

function judgeErased(upload: LedgerUpload, sent: SentUpload | undefined): Violation[] {
  const { originals, manifests, variants, remains, isMarked } = upload
  const keys = [
    ...originals.map(({ key }) => key),
    ...manifests.map(({ version }) => version.key),
    ...variants.keys(),
    ...remains,
  ]
  if (keys.length === 0) return []
  const proof = isMarked ? 'has an erasure marker' : 'has a receipt of its erasure'
  const text = `${proof}, but S3 has ${[...new Set(keys)].join(', ')}`
  return [violation('erased-remains', upload.id, text, sent)]
}

/** Judges what S3 has of an upload that was not erased. */
function judgeStored(upload: LedgerUpload, sent: SentUpload | undefined): Violation[] {
  const { id, current, manifests, variants } = upload
  const found: Violation[] = []
  const report = (kind: ViolationKind, sentence: string) => found.push(violation(kind, id, sentence, sent))
  const [latest] = manifests

  for (const versions of Map.groupBy(manifests, ({ content }) => content.arrivalVersionId).values()) {
    if (versions.length < 2) continue
    const outcomes = versions.map(({ content }) => content.outcome)
    const text = `has ${versions.length} manifests of the same bytes: ${outcomes.join(', ')} (newest first)`
    report(new Set(outcomes).size > 1 ? 'outcome-changed' : 'manifest-doubled', text)
  }
  const listed = new Set(latest?.content.variants.map(({ key }) => key))
  // Variants of an upload that is not finished are a part of its work.
  const orphans = current && !latest ? [] : [...variants.keys()].filter((key) => !listed.has(key))
  if (orphans.length > 0) report('orphan', `has variants that no manifest lists: ${orphans.join(', ')}`)
  if (current && sent && current.sha256 !== sent.file.sha256) {
    report('wrong-bytes', `has an original with the SHA-256 ${current.sha256}; ${sent.file.sha256} was sent`)
  }
  if (!latest) {
    if (current) report('unfinished', 'has an original and no manifest')
    return found
  }
  const { outcome, code } = latest.content
  const { arrivalVersionId, arrivalEtag } = latest.content
  // The same bytes may have been sent twice, because a response was lost. Then GET tells whether they are finished.
  const isOther =
    current && arrivalVersionId !== current.version.versionId && arrivalEtag !== current.version.etag
  if (isOther) {
    report('unfinished', `has a newer original than its manifest (${outcome}) describes`)
  }
  if (sent) {
    const { expected } = sent.file
    if (outcome !== expected.outcome || code !== expected.code) {
      const text = `ended ${outcome} ${code ?? ''}; expected ${expected.outcome} ${expected.code ?? ''}`
      report('wrong-outcome', text)
    }
    if (current && outcome === 'rejected' && !expected.keepsBytes) {
      report('rejected-bytes-kept', `was rejected with ${code}, but its original is still there`)
    }
    if (!current && expected.keepsBytes) report('orphan', `has a manifest (${outcome}) and no original`)
  }
  for (const variant of latest.content.variants) {
    const stored = variants.get(variant.key)
    if (!stored) {
      report('variant-missing', `lists the variant ${variant.key}, which S3 does not have`)
      continue
    }
    const listedSize = `${variant.width} × ${variant.height}, ${variant.size} bytes`
    const storedSize = `${stored.width} × ${stored.height}, ${stored.size} bytes`
    if (stored.problem) report('variant-damaged', `has a damaged variant ${variant.key}: ${stored.problem}`)
    else if (listedSize !== storedSize) {
      report('variant-damaged', `lists ${variant.key} as ${listedSize}; S3 has ${storedSize}`)
    }
  }
  return found
}

/** Judges what the API and its events said about an upload that S3 has. */
function judgeTold(
  upload: LedgerUpload,
  sent: SentUpload | undefined,
  { views, told, toldOwners }: Evidence,
): Violation[] {
  const { id, owner, manifests } = upload
  const outcome = manifests[0]?.content.outcome
  // An unfinished upload is reported as such. What was said about it may be true.
  if (outcome === undefined) return []
  const found: Violation[] = []
  const view = views.get(id)
  if (view && (view.status !== 200 || view.state !== outcome)) {
    const text = `is ${outcome} in S3; GET says ${view.status} ${view.state ?? ''}`
    found.push(violation('view-disagrees', id, text, sent))
  } else if (view) {
    const names = manifests[0]?.content.variants.map(({ name }) => name) ?? []
    if (names.toSorted().join() !== view.variants.toSorted().join()) {
      const text = `has the variants ${names.join()} in S3; GET says ${view.variants.join()}`
      found.push(violation('view-disagrees', id, text, sent))
    }
  }
  const watched = told.get(id)
  if (watched && watched.state !== outcome) {
    const text = `is ${outcome}; its watcher was last told ${watched.state ?? 'nothing'}`
    found.push(violation('not-told', id, text, sent))
  }
  const states = toldOwners.get(owner)
  if (states && states.get(id) !== outcome) {
    const text = `is ${outcome}; the watcher of ${owner} was last told ${states.get(id) ?? 'nothing'}`
    found.push(violation('owner-not-told', id, text, sent))
  }
  return found
}

/** Judges what a client was promised. */
function judgeSent(upload: SentUpload, { ledger }: Evidence, isErased: (id: string) => boolean): Violation[] {
  const { number, accepted, erasure, idempotencyKey, owner } = upload
  const found: Violation[] = []
  const stored = [...ledger.uploads.values()].filter((other) => numberOf(other) === number)
  if (accepted && !erasure && !isErased(accepted.id)) {
    const inLedger = ledger.uploads.get(accepted.id)
    if (!inLedger || !isStored(inLedger)) {
      found.push(violation('lost', accepted.id, 'was accepted, and S3 has nothing of it', upload))
    }
  }
  // Before its bytes were accepted, an upload whose record was lost is unknown to everybody.
  const wasAccepted = accepted && erasure && accepted.id === erasure.id && accepted.atMs < erasure.askedAtMs
  if (wasAccepted && erasure.answer === 'not-found') {
    const inLedger = ledger.uploads.get(erasure.id)
    if (inLedger && isStored(inLedger)) {
      found.push(violation('erasure-refused', erasure.id, 'is in S3, but DELETE said 404', upload))
    }
  }
  const storedIds = stored
    .filter((other) => isStored(other) && other.owner === owner.name)
    .map(({ id }) => id)
  if (idempotencyKey !== undefined && storedIds.length > 1) {
    const text = `was sent with one Idempotency-Key (${upload.way}), and S3 has ${storedIds.join(', ')}`
    found.push({ kind: 'key-doubled', number, sentence: text })
  }
  return found
}

function judgeLists({ lists, ledger }: Evidence, isErased: (id: string) => boolean): Violation[] {
  const found: Violation[] = []
  for (const [owner, states] of lists) {
    for (const [id, state] of states) {
      const upload = ledger.uploads.get(id)
      if (isErased(id)) found.push(violation('erased-visible', id, `was erased, but is listed as ${state}`))
      else if (upload && isStored(upload)) continue
      // Announced, and the bytes never came.
      else if (state !== 'awaiting') {
        found.push(violation('list-disagrees', id, `is listed as ${state}, and S3 has nothing of it`))
      }
    }
    for (const upload of ledger.uploads.values()) {
      const outcome = upload.manifests[0]?.content.outcome
      if (upload.owner !== owner || isErased(upload.id) || outcome === undefined) continue
      if (states.get(upload.id) === outcome) continue
      const text = `is ${outcome} in S3; the list says ${states.get(upload.id) ?? 'nothing'}`
      found.push(violation('list-disagrees', upload.id, text))
    }
  }
  return found
}

function judgeSystem(evidence: Evidence): Violation[] {
  const { leaks, strangers, crashes, staleServices, messages, redis, ledger } = evidence
  const found: Violation[] = []
  for (const { owner, id, filename } of leaks) {
    found.push(violation('seen-by-another-owner', id, `(${filename}) was sent to a watcher of ${owner}`))
  }
  for (const [id, status] of strangers) {
    if (status === 404) continue
    found.push(violation('seen-by-another-owner', id, `GET of another owner says ${status}`))
  }
  for (const { service, atMs } of crashes) {
    found.push({
      kind: 'crash',
      sentence: `${service} exited at ${new Date(atMs).toISOString()}, not by a fault`,
    })
  }
  for (const service of new Set(staleServices)) {
    found.push({ kind: 'stale-connection', sentence: `${service} kept a connection to a demoted Redis` })
  }
  for (const key of ledger.unknownKeys) found.push({ kind: 'unknown-key', sentence: `S3 has the key ${key}` })
  if (messages.waiting + messages.invisible > 0) {
    const text = `SQS has ${messages.waiting} messages waiting and ${messages.invisible} invisible`
    found.push({ kind: 'messages-left', sentence: text })
  }
  if (messages.dead > 0) {
    found.push({ kind: 'dead-letters', sentence: `the dead-letter queue has ${messages.dead} messages` })
  }
  const jobs = Object.entries(redis.jobs).filter(([, count]) => count > 0)
  if (jobs.length > 0) {
    const text = jobs.map(([state, count]) => `${count} ${state}`).join(', ')
    found.push({ kind: 'jobs-left', sentence: `BullMQ has jobs: ${text}` })
  }
  const grownBytes = redis.usedBytes - redis.baseBytes - redis.expiringBytes
  if (grownBytes > redisToleranceBytes) {
    const text = `Redis has ${grownBytes} bytes more than before, besides keys that expire`
    found.push({ kind: 'redis-grew', sentence: text })
  }
  for (const [kind, count] of Object.entries(redis.lasting)) {
    if (count <= lastingKeysOfAKind) continue
    found.push({ kind: 'redis-grew', sentence: `Redis keeps ${count} keys ${kind} for ever` })
  }
  return found
}
