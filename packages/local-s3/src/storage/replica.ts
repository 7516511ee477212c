import type { S3Exchange } from '../protocol/s3-exchange.ts'

/**
 * An object as S3's replication writes it to the bucket of another region: it has the version id and the time of
 * its source, another etag if another key encrypts it, and a header that marks it (S3 User Guide, "Replication").
 */
export type Replica = {
  versionId: string
  /** Milliseconds since 1970. */
  modifiedAt: number
  etag: string
}

/**
 * The header that declares the object of a PutObject to be a replica: `versionId=…&modifiedAt=…&etag=…`. It is read
 * only if the server was started with `acceptsReplicas`. S3 has no such header; its replication is internal.
 */
export const replicaHeader = 'x-local-copy'

/** The header of a replica in the responses of HeadObject and GetObject. */
export const replicaStatusHeader = { 'x-amz-replication-status': 'REPLICA' }

/** Reads `replicaHeader`; `undefined` if the request does not have it. */
export function readReplica({ headers }: S3Exchange): Replica | undefined {
  const value = headers[replicaHeader]
  if (value === undefined) return undefined
  const fields = new URLSearchParams(value)
  return {
    versionId: fields.get('versionId') ?? '',
    modifiedAt: Number(fields.get('modifiedAt')),
    etag: fields.get('etag') ?? '',
  }
}
