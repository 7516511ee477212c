import { randomBytes } from 'node:crypto'
import { S3Error } from '../protocol/s3-error.ts'
import type { S3Exchange } from '../protocol/s3-exchange.ts'

/** The version id of objects written to a bucket without versioning (S3 user guide, "null version ID"). */
export const nullVersion = 'null'

/** Creates a version id. S3's ids are opaque, URL-ready, at most 1,024 bytes long, and have 32 characters today. */
export function newVersionId(): string {
  return randomBytes(24).toString('base64url')
}

/** Whether a version id has the form of S3's ids. Only an object of a replica can have another one. */
export function isVersionId(versionId: string): boolean {
  return versionId === nullVersion || /^[A-Za-z0-9._-]{32}$/.test(versionId)
}

/**
 * Returns the version id of a request, if it has one.
 * @throws S3Error InvalidArgument if it is empty
 */
export function requestedVersion(exchange: S3Exchange): string | undefined {
  const versionId = exchange.query('versionId')
  if (versionId !== '') return versionId
  throw emptyVersionId('versionId')
}

/** The response to an empty version id. S3 does not take it for none: a deletion would delete something else. */
export function emptyVersionId(argument: string): S3Error {
  return new S3Error('InvalidArgument', 'Version id cannot be the empty string', {
    ArgumentName: argument,
    ArgumentValue: '',
  })
}

/** The response to a version id that cannot exist. */
export function invalidVersionId(argument: string, versionId: string): S3Error {
  return new S3Error('InvalidArgument', 'Invalid version id specified', {
    ArgumentName: argument,
    ArgumentValue: versionId,
  })
}

/** Returns the response headers that identify a version. */
export function versionHeaders(version: {
  versionId: string
  isDeleteMarker: boolean
}): Record<string, string> {
  return {
    ...(version.versionId !== nullVersion && { 'x-amz-version-id': version.versionId }),
    ...(version.isDeleteMarker && { 'x-amz-delete-marker': 'true' }),
  }
}
