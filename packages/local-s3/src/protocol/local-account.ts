/** The account that owns all buckets; the queues of the local cloud have the same one in their ARNs. */
export const localAccount = '000000000000'

/** The owner in listings. S3's owners have a canonical user id of 64 hex digits, which clients must not parse. */
export const localOwner = { ID: 'LOCAL', DisplayName: 'local' }
