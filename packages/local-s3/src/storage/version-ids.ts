import { randomBytes } from 'node:crypto'
import type { S3Exchange } from '../protocol/s3-exchange.ts'

/** The version id of objects written to a bucket without versioning (S3 user guide, "null version ID"). */
export const nullVersion = 'null'

/** Creates a version id. S3's ids are opaque, URL-ready, at most 1,024 bytes long, and have 32 characters today. */
export function newVersionId(): string {
  return randomBytes(24).toString('base64url')
}

/** Returns the version id of a request, if it has one. */
export function requestedVersion(exchange: S3Exchange): string | undefined {
  return exchange.query('versionId')
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
