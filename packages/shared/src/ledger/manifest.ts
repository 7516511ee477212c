import type { S3Client } from '@aws-sdk/client-s3'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import type { ErrorCode } from '../service/app-error.ts'
import { Owner } from '../uploads/owner.ts'
import { Arrival, Findings, type Upload, UploadError, UploadIntent, Variant } from '../uploads/upload.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { UploadId } from '../uploads/upload-id.ts'
import { Evidence } from './evidence.ts'
import { createJsonObjects, type StoredJson } from './json-objects.ts'
import { manifestKey } from './object-keys.ts'

/**
 * The commit point of an upload: once its manifest is in S3, the upload is finished. The manifest contains
 * the findings, the variants, the recipe version and the arrival. So the record in Redis can be rebuilt from
 * it, and finished work is not repeated.
 */
export const Manifest = Type.Object({
  version: Type.Literal(1),
  id: UploadId,
  owner: Owner,
  outcome: Type.Union([Type.Literal('ready'), Type.Literal('rejected'), Type.Literal('failed')]),
  intent: UploadIntent,
  arrival: Arrival,
  recipe: Type.String({ description: 'version of the recipe: identifies the preset and the renderer' }),
  findings: Findings,
  variants: Type.Array(Variant),
  error: Type.Optional(UploadError),
  evidence: Type.Optional(Evidence),
  discarded: Type.Optional(
    Type.Array(Type.String(), {
      description: 'versions of the original that were rejected and deleted, besides that of `arrival`',
    }),
  ),
  eventId: Type.Optional(
    Type.String({ description: "of the outcome's event in the outbox, if a webhook gets it" }),
  ),
  earlierEventIds: Type.Optional(
    Type.Array(Type.String(), { description: 'of the outcomes that this one replaced, the newest last' }),
  ),
  createdAt: Type.String(),
  finishedAt: Type.String(),
})
export type Manifest = Static<typeof Manifest>

const manifestValidator = Compile(Manifest)

/** A manifest as it is in S3. The etag identifies this content. */
export type StoredManifest = StoredJson<Manifest>

/**
 * The rejections whose bytes are deleted: the file differs from what was announced, or a scanner refused it. Other rejected
 * files stay: a newer version may be able to read them.
 */
const deletedCodes: ReadonlySet<string> = new Set([
  'size_mismatch',
  'checksum_mismatch',
  'type_not_allowed',
  'malware_found',
  'inspection_refused',
] satisfies ErrorCode[])

/** Whether a manifest rejects a file whose bytes are deleted. */
export function rejectsBytes({ error }: Manifest): boolean {
  return error !== undefined && deletedCodes.has(error.code)
}

/**
 * Whether the same bytes may have another outcome with the same recipe: the failure was ours, or the file was above a limit
 * of the virus scanner, which may have been raised.
 */
export function canChange({ outcome, error }: Pick<Manifest, 'outcome' | 'error'>): boolean {
  return outcome === 'failed' || error?.code === 'too_large_to_scan'
}

/** Returns the versions of an original that were rejected and deleted, according to its manifest. */
export function discardedVersions(manifest: Manifest): string[] {
  const { discarded = [], arrival } = manifest
  const isArrivalDeleted = rejectsBytes(manifest) && arrival.versionId !== undefined
  return isArrivalDeleted ? [...discarded, arrival.versionId ?? ''] : discarded
}

/** How many replaced outcomes a manifest knows the events of. Most events are delivered long before. */
const maxEarlierEvents = 8

/** Whether an outcome's event is true: its manifest was in force, or is. Another attempt may have written one that is not. */
export function hasEvent({ eventId, earlierEventIds = [] }: Manifest, id: string): boolean {
  return eventId === id || earlierEventIds.includes(id)
}

/** Returns a manifest with the event of its outcome. @param replaced the manifest that it replaces */
export function withEvent(
  manifest: Manifest,
  eventId: string | undefined,
  replaced: Manifest | undefined,
): Manifest {
  const { eventId: _, earlierEventIds: __, ...rest } = manifest
  const { eventId: last, earlierEventIds = [] } = replaced ?? {}
  const earlier = (last === undefined ? earlierEventIds : [...earlierEventIds, last]).slice(-maxEarlierEvents)
  return {
    ...rest,
    ...(eventId !== undefined && { eventId }),
    ...(earlier.length > 0 && { earlierEventIds: earlier }),
  }
}

/** Returns the record of a finished upload, rebuilt from its manifest. */
export function uploadFromManifest(manifest: Manifest): Upload {
  return {
    id: manifest.id,
    owner: manifest.owner,
    state: manifest.outcome,
    intent: manifest.intent,
    arrival: manifest.arrival,
    findings: manifest.findings,
    variants: manifest.variants,
    ...(manifest.error && { error: manifest.error }),
    createdAt: manifest.createdAt,
    updatedAt: manifest.finishedAt,
  }
}

/**
 * Reads and writes manifests.
 *
 * @param deps.s3 the client
 * @param deps.bucket the bucket that is the ledger
 */
export function createManifests(deps: { s3: S3Client; bucket: string }) {
  const objects = createJsonObjects(deps, manifestValidator)
  return {
    /**
     * Reads a manifest and its etag. Returns undefined if the upload is not finished.
     * @throws AppError `unreadable_record` if another version wrote the manifest in another form: the upload is finished,
     *   and its manifest must not be replaced
     */
    readStored: (address: UploadAddress): Promise<StoredManifest | undefined> =>
      objects.readStored(manifestKey(address)),

    /** Reads a manifest, as `readStored` does. */
    read: (address: UploadAddress): Promise<Manifest | undefined> => objects.read(manifestKey(address)),

    /**
     * Commits an upload's outcome, unless another process wrote a manifest since the caller read it.
     * @param expected the manifest that is replaced; undefined for the first one
     * @returns false if S3 has another manifest: the caller reads it and decides again
     */
    write: (manifest: Manifest, expected: StoredManifest | undefined): Promise<boolean> =>
      objects.writeIf(manifestKey(manifest), manifest, expected),
  }
}

export type Manifests = ReturnType<typeof createManifests>
