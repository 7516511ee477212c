import { randomBytes } from 'node:crypto'
import type { S3Exchange } from '../protocol/s3-exchange.ts'

/** The version of what was written before its bucket kept versions (S3 user guide, "null version ID"). */
export const nullVersion = 'null'

/** S3's are opaque, URL-ready and at most 1,024 bytes long; those that it makes today have 32 characters. */
export function newVersionId(): string {
  return randomBytes(24).toString('base64url')
}

/** The version that a request names, if it does. */
export function requestedVersion(exchange: S3Exchange): string | undefined {
  return exchange.query('versionId')
}

/** How an answer names the version that it is about. */
export function versionHeaders(version: {
  versionId: string
  isDeleteMarker: boolean
}): Record<string, string> {
  return {
    ...(version.versionId !== nullVersion && { 'x-amz-version-id': version.versionId }),
    ...(version.isDeleteMarker && { 'x-amz-delete-marker': 'true' }),
  }
}
