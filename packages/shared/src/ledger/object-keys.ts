/**
 * The ledger: the objects that Millrace stores in its bucket, and their keys. Only this file builds and
 * parses keys.
 *
 *   originals/{owner}/{uploadId}                          the bytes as the client sent them; written by the
 *                                                         client, the API or tus. The record can be rebuilt
 *                                                         from its metadata alone
 *   variants/{owner}/{uploadId}/{preset}/{variant}.{ext}  written by a worker; repeated work overwrites the
 *                                                         same object
 *   manifests/{owner}/{uploadId}.json                     written by a worker, last: the commit point
 *   unfinished/{owner}/{uploadId}                         written by the API for tus: bytes that do not fill a
 *                                                         part yet. Deleted once the original exists
 *   unfinished/{owner}/{uploadId}.json                    announcement: what was announced of a file in parts, and
 *                                                         its multipart upload; written by the API. Deleted once the
 *                                                         original exists
 *   erasures/{owner}/{uploadId}                           erasure marker, empty; written by the API before it
 *                                                         deletes anything. Nothing that was begun before
 *                                                         restores the upload
 *   users/{owner}.json                                    written by the API before the first upload of a tenant's user:
 *                                                         its tenant and its id, as they were given
 *   keys/{tenantKey}/{keyId}.json                         written by the API: an API key made at run time, as a hash
 *   webhooks/{tenantKey}/{webhookId}.json                 written by the API: where a tenant's events are sent
 *   outbox/{tenantKey}/{uploadId}/{eventId}.json          written before what the event tells: an event of an upload that
 *                                                         is not delivered yet. Deleted once every webhook has it
 *   sweep/state.json                                      written by the worker that sweeps the bucket: how far
 *                                                         the current run is, and what the last one verified
 */

import { Compile } from 'typebox/compile'
import { Owner } from '../uploads/owner.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { isUploadId } from '../uploads/upload-id.ts'

const ownerValidator = Compile(Owner)
const outboxKeyForm = /^outbox\/([0-9a-f]{16})\/([^/]+)\/(evt_[0-9a-f]{32})\.json$/

/** S3 publishes an event for each new object under this prefix. */
export const originalsPrefix = 'originals/'
export const manifestsPrefix = 'manifests/'
export const variantsPrefix = 'variants/'
/** Not under `originals/`: S3 publishes no event, and no listing mistakes the object for an upload. */
export const unfinishedPrefix = 'unfinished/'
/** S3 publishes an event for each erasure marker under this prefix, copies of other regions included. */
export const erasuresPrefix = 'erasures/'
/** Each region sweeps its own bucket, so S3 copies nothing under this prefix. */
export const sweepPrefix = 'sweep/'

/** Tenants' users. Owners of one tenant's users begin alike (`owner.ts`), so they are listed together. */
export const usersPrefix = 'users/'
export const apiKeysPrefix = 'keys/'
export const webhooksPrefix = 'webhooks/'
export const outboxPrefix = 'outbox/'

/** Returns the key of a tenant's user. */
export function userKey(owner: string): string {
  return `${usersPrefix}${owner}.json`
}

/** Returns the key of an API key that was made at run time. */
export function apiKeyKey(tenantKey: string, id: string): string {
  return `${apiKeysPrefix}${tenantKey}/${id}.json`
}

/** Returns the key of a webhook. */
export function webhookKey(tenantKey: string, id: string): string {
  return `${webhooksPrefix}${tenantKey}/${id}.json`
}

/** Returns the key of an event that is not delivered yet. */
export function outboxKey(tenantKey: string, uploadId: string, eventId: string): string {
  return `${outboxPrefix}${tenantKey}/${uploadId}/${eventId}.json`
}

/** Returns the event whose object in the outbox has this key, or undefined if it is another kind of key. */
export function parseOutboxKey(
  key: string,
): { tenantKey: string; uploadId: string; eventId: string } | undefined {
  const [tenantKey, uploadId, eventId] = outboxKeyForm.exec(key)?.slice(1) ?? []
  if (tenantKey === undefined || uploadId === undefined || eventId === undefined) return undefined
  return isUploadId(uploadId) ? { tenantKey, uploadId, eventId } : undefined
}

/** Returns a key that follows all those of a tenant's events, and precedes those of the next tenant. */
export function outboxTenantEnd(tenantKey: string): string {
  // `0` is the character after `/`.
  return `${outboxPrefix}${tenantKey}0`
}

/** Returns the key of the sweep's state. */
export function sweepStateKey(): string {
  return `${sweepPrefix}state.json`
}

export function originalKey({ owner, id }: UploadAddress): string {
  return `${originalsPrefix}${owner}/${id}`
}

export function manifestKey({ owner, id }: UploadAddress): string {
  return `${manifestsPrefix}${owner}/${id}.json`
}

/** Returns the key of a tus upload's unfinished bytes, which follow its last whole part. */
export function unfinishedKey({ owner, id }: UploadAddress): string {
  return `${unfinishedPrefix}${owner}/${id}`
}

/** Returns the key of the announcement of an upload in parts. */
export function announcementKey({ owner, id }: UploadAddress): string {
  return `${unfinishedPrefix}${owner}/${id}.json`
}

/** Returns the key of an upload's erasure marker. */
export function erasureKey({ owner, id }: UploadAddress): string {
  return `${erasuresPrefix}${owner}/${id}`
}

/** Returns the prefix of an upload's variants of all presets. */
export function uploadVariantsPrefix({ owner, id }: UploadAddress): string {
  return `${variantsPrefix}${owner}/${id}/`
}

export function variantKey(
  address: UploadAddress,
  variant: { preset: string; name: string; extension: string },
): string {
  return `${uploadVariantsPrefix(address)}${variant.preset}/${variant.name}.${variant.extension}`
}

/** Returns the upload whose original has this key, or undefined if it is not the key of an original. */
export function parseOriginalKey(key: string): UploadAddress | undefined {
  return parse(key, originalsPrefix, '')
}

/** Returns the upload whose manifest has this key, or undefined if it is not the key of a manifest. */
export function parseManifestKey(key: string): UploadAddress | undefined {
  return parse(key, manifestsPrefix, '.json')
}

/** Returns the upload whose unfinished bytes have this key, or undefined if it is another kind of key. */
export function parseUnfinishedKey(key: string): UploadAddress | undefined {
  return parse(key, unfinishedPrefix, '')
}

/** Returns the upload whose announcement has this key, or undefined if it is another kind of key. */
export function parseAnnouncementKey(key: string): UploadAddress | undefined {
  return parse(key, unfinishedPrefix, '.json')
}

/** Returns the upload whose erasure marker has this key, or undefined if it is another kind of key. */
export function parseErasureKey(key: string): UploadAddress | undefined {
  return parse(key, erasuresPrefix, '')
}

function parse(key: string, prefix: string, suffix: string): UploadAddress | undefined {
  if (!key.startsWith(prefix) || !key.endsWith(suffix)) return undefined
  const [owner, id, ...rest] = key.slice(prefix.length, key.length - suffix.length).split('/')
  if (owner === undefined || id === undefined || rest.length > 0) return undefined
  return ownerValidator.Check(owner) && isUploadId(id) ? { owner, id } : undefined
}
