import type { S3Exchange } from '../protocol/s3-exchange.ts'

/**
 * An object as S3's replication writes it to the bucket of another region: it keeps the version's id and time, has an
 * etag of its own where it is encrypted by another key, and says that it is a copy (S3 User Guide, "Replication").
 */
export type Replica = {
  versionId: string
  /** Milliseconds since 1970. */
  modifiedAt: number
  etag: string
}

/**
 * How a PutObject says so to this server, where it was told to listen: `versionId=…&modifiedAt=…&etag=…`. S3 has no such
 * header; what copies is inside of it.
 */
export const replicaHeader = 'x-local-copy'

/** What HeadObject and GetObject say of a copy. */
export const replicaStatusHeader = { 'x-amz-replication-status': 'REPLICA' }

export function readReplica({ headers }: S3Exchange): Replica | undefined {
  const told = headers[replicaHeader]
  if (told === undefined) return undefined
  const fields = new URLSearchParams(told)
  return {
    versionId: fields.get('versionId') ?? '',
    modifiedAt: Number(fields.get('modifiedAt')),
    etag: fields.get('etag') ?? '',
  }
}
