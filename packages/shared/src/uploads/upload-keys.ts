import type { UploadAddress } from './upload-address.ts'

/**
 * Builds the keys of uploads in Redis:
 *
 *   {prefix}:{owner}:upload:{id}   hash: revision, record (JSON), epoch (see redis-epoch.ts), counted (the networks that
 *                                  count the upload as unfinished, while they do)
 *   {prefix}:{owner}:uploads       sorted set of ids, all with score 0: UUIDv7 sort by time
 *   {prefix}:{owner}:listed        epoch, and the id from which on the sorted set is known to be complete
 *   {prefix}:{owner}:indexing      lease of the instance that completes the sorted set
 *   {prefix}:{owner}:erased:{id}   erasure marker: 1, `verified` or `confirmed`. The marker in S3 decides; this one
 *                                  makes the script that saves records refuse the upload
 *   {prefix}:{owner}:sequence      hash: last, since: the sequence numbers of the owner's changes
 *   {prefix}:{owner}:recent        sorted set of ids by the sequence number of their last change
 *   {prefix}:{group}:sequence      the same for all users of a tenant (`usersGroup` in owner.ts), whose changes have
 *   {prefix}:{group}:recent        a second number there. The sorted set has owner and id
 *   {prefix}:{owner}:unfinished    see unfinished-uploads.ts
 *   {prefix}:unfinished:{network}  the same
 *
 * Every key of an upload contains its owner, so another owner's id finds nothing. The owner is the hash tag.
 *
 * @param prefix prefix of every key
 */
export function createUploadKeys(prefix: string) {
  return {
    record: ({ owner, id }: UploadAddress) => `${prefix}:{${owner}}:upload:${id}`,
    index: (owner: string) => `${prefix}:{${owner}}:uploads`,
    listed: (owner: string) => `${prefix}:{${owner}}:listed`,
    indexing: (owner: string) => `${prefix}:{${owner}}:indexing`,
    erased: ({ owner, id }: UploadAddress) => `${prefix}:{${owner}}:erased:${id}`,
    sequence: (owner: string) => `${prefix}:{${owner}}:sequence`,
    recent: (owner: string) => `${prefix}:{${owner}}:recent`,
    unfinished: (owner: string) => `${prefix}:{${owner}}:unfinished`,
    unfinishedOf: (network: string) => `${prefix}:unfinished:${network}`,
  }
}
