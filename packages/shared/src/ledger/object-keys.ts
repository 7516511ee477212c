/**
 * The ledger: the objects that Millrace stores in its bucket, and their keys. Only this file builds and
 * parses keys.
 *
 *   originals/{owner}/{uploadId}                          the bytes as the client sent them; written by the
 *                                                         client, the API or tus. The record can be rebuilt
 *                                                         from its metadata alone
 *   variants/{owner}/{uploadId}/{version}/{name}.{hash}.{ext}
 *                                                         written by a worker. The version names the arrival and the recipe, the
 *                                                         hash the bytes: what is under a key never changes. Uploads of
 *                                                         Millrace 0.1 have variants/{owner}/{uploadId}/{preset}/{name}.{ext}
 *   manifests/{owner}/{uploadId}.json                     written by a worker, last: the commit point
 *   unfinished/{owner}/{uploadId}                         written by the API for tus: bytes that do not fill a
 *                                                         part yet. Deleted once the original exists
 *   unfinished/{owner}/{uploadId}.json                    announcement: what was announced of a file in parts, and
 *                                                         its multipart upload; written by the API. Deleted once the
 *                                                         original exists
 *   erasures/{owner}/{uploadId}                           erasure marker, empty; written by the API before it
 *                                                         deletes anything. Nothing that was begun before
 *                                                         restores the upload
 *   edits/{owner}/{uploadId}.json                         written by the API: filename and metadata that were changed since
 *                                                         the file was announced
 *   withdrawn/{owner}/{uploadId}.json                     written before variants that were served are deleted: copies of a CDN
 *                                                         have to go as well. Deleted once they are gone
 *   users/{owner}.json                                    written by the API before the first upload of a tenant's user:
 *                                                         its tenant and its id, as they were given
 *   erasing/{owner}.json                                  written by the API before it erases a user: how far it is.
 *                                                         Deleted once nothing of the user is left
 *   receipts/{owner}/{erasureId}.json                     written by the API when a user is erased: how much was
 *                                                         erased. It does not contain the user's id
 *   usage/{tenantKey}/latest.json                         written by the API: the last count of a tenant's files
 *   usage/{tenantKey}/{countId}/{number}.json             a page of that count, by user. Deleted after the next count
 *   keys/{tenantKey}/{keyId}.json                         written by the API: an API key made at run time, as a hash
 *   revocations/{tokenId}                                 written by the API, empty: an upload token that was revoked. Its
 *                                                         id begins with its end, in seconds since 1970
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
/** S3 publishes an event for each edit, copies of other regions included. */
export const editsPrefix = 'edits/'
/** S3 publishes an event for each erasure marker under this prefix, copies of other regions included. */
export const erasuresPrefix = 'erasures/'
/** Each region withdraws its own variants, so S3 copies nothing under this prefix. */
export const withdrawnPrefix = 'withdrawn/'
/** Each region sweeps its own bucket, so S3 copies nothing under this prefix. */
export const sweepPrefix = 'sweep/'

/** Tenants' users. Owners of one tenant's users begin alike (`owner.ts`), so they are listed together. */
export const usersPrefix = 'users/'
/** Erasures of users that are not finished. */
export const userErasuresPrefix = 'erasing/'
/** Finished erasures of users. */
export const receiptsPrefix = 'receipts/'
export const usagePrefix = 'usage/'
export const apiKeysPrefix = 'keys/'
/** Revoked upload tokens, sorted by their end. */
export const revocationsPrefix = 'revocations/'
export const webhooksPrefix = 'webhooks/'
export const outboxPrefix = 'outbox/'

/** Returns the key of a tenant's user. */
export function userKey(owner: string): string {
  return `${usersPrefix}${owner}.json`
}

/** Returns the owner whose user has this key, or undefined if it is another kind of key. */
export function parseUserKey(key: string): string | undefined {
  return parseOwner(key, usersPrefix)
}

/** Returns the key of a user's erasure while it runs. */
export function userErasureKey(owner: string): string {
  return `${userErasuresPrefix}${owner}.json`
}

/** Returns the owner whose running erasure has this key, or undefined if it is another kind of key. */
export function parseUserErasureKey(key: string): string | undefined {
  return parseOwner(key, userErasuresPrefix)
}

/** Returns the key of the receipt of a user's erasure. @param id UUIDv7 */
export function receiptKey(owner: string, id: string): string {
  return `${receiptsPrefix}${owner}/${id}.json`
}

/** Returns the key of the last count of a tenant's files. */
export function usageKey(tenantKey: string): string {
  return `${usagePrefix}${tenantKey}/latest.json`
}

/** Returns the key of one page of a count. */
export function usagePageKey(tenantKey: string, countId: string, page: number): string {
  return `${usagePrefix}${tenantKey}/${countId}/${page}.json`
}

/** Returns the key of an API key that was made at run time. */
export function apiKeyKey(tenantKey: string, id: string): string {
  return `${apiKeysPrefix}${tenantKey}/${id}.json`
}

/** Returns the key of the revocation of an upload token. */
export function revocationKey(tokenId: string): string {
  return `${revocationsPrefix}${tokenId}`
}

/** Returns the prefix of all API keys of a tenant. */
export function tenantApiKeysPrefix(tenantKey: string): string {
  return `${apiKeysPrefix}${tenantKey}/`
}

const apiKeyForm = /^keys\/[0-9a-f]{16}\/(key-[0-9a-f]{32})\.json$/

/** Returns the id of the API key that is stored under a key, or undefined if it is another kind of key. */
export function parseApiKeyKey(key: string): string | undefined {
  return apiKeyForm.exec(key)?.[1]
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

/** Returns the key of an upload's edit. */
export function editKey({ owner, id }: UploadAddress): string {
  return `${editsPrefix}${owner}/${id}.json`
}

/** Returns the key of an upload's erasure marker. */
export function erasureKey({ owner, id }: UploadAddress): string {
  return `${erasuresPrefix}${owner}/${id}`
}

/** Returns the key under which variants of an upload are named that must not be served any more. */
export function withdrawalKey({ owner, id }: UploadAddress): string {
  return `${withdrawnPrefix}${owner}/${id}.json`
}

/** Returns the prefix of an upload's variants of all versions. */
export function uploadVariantsPrefix({ owner, id }: UploadAddress): string {
  return `${variantsPrefix}${owner}/${id}/`
}

/** @param variant.version of arrival and recipe (variant-version.ts) @param variant.sha256 of the variant's bytes */
export function variantKey(
  address: UploadAddress,
  variant: { version: string; name: string; sha256: string; extension: string },
): string {
  const { version, name, sha256, extension } = variant
  return `${uploadVariantsPrefix(address)}${version}/${name}.${sha256.slice(0, hashLength)}.${extension}`
}

/** Hexadecimal digits of a variant's SHA-256 in its key: one upload's variants of one name are told apart. */
const hashLength = 16

/** Returns the upload and the version of the variant that has this key, or undefined if it is another kind of key. */
export function parseVariantKey(
  key: string,
): (UploadAddress & { version: string; name: string }) | undefined {
  if (!key.startsWith(variantsPrefix)) return undefined
  const [owner, id, version, file, ...rest] = key.slice(variantsPrefix.length).split('/')
  if (owner === undefined || id === undefined || version === undefined || file === undefined) return undefined
  if (rest.length > 0 || !ownerValidator.Check(owner) || !isUploadId(id)) return undefined
  return { owner, id, version, name: file.split('.', 1).join() }
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

/** Returns the upload whose edit has this key, or undefined if it is another kind of key. */
export function parseEditKey(key: string): UploadAddress | undefined {
  return parse(key, editsPrefix, '.json')
}

/** Returns the upload of which variants are withdrawn under this key, or undefined if it is another kind of key. */
export function parseWithdrawalKey(key: string): UploadAddress | undefined {
  return parse(key, withdrawnPrefix, '.json')
}

/** Returns the upload whose erasure marker has this key, or undefined if it is another kind of key. */
export function parseErasureKey(key: string): UploadAddress | undefined {
  return parse(key, erasuresPrefix, '')
}

function parseOwner(key: string, prefix: string): string | undefined {
  if (!key.startsWith(prefix) || !key.endsWith('.json')) return undefined
  const owner = key.slice(prefix.length, -'.json'.length)
  return ownerValidator.Check(owner) ? owner : undefined
}

function parse(key: string, prefix: string, suffix: string): UploadAddress | undefined {
  if (!key.startsWith(prefix) || !key.endsWith(suffix)) return undefined
  const [owner, id, ...rest] = key.slice(prefix.length, key.length - suffix.length).split('/')
  if (owner === undefined || id === undefined || rest.length > 0) return undefined
  return ownerValidator.Check(owner) && isUploadId(id) ? { owner, id } : undefined
}
