import { headerNotImplemented } from '../protocol/request-headers.ts'
import { S3Error } from '../protocol/s3-error.ts'
import type { S3Exchange } from '../protocol/s3-exchange.ts'
import type { ObjectVersion, WriteCondition } from './object-table.ts'

/**
 * Reads the condition of a PutObject, CopyObject or CompleteMultipartUpload.
 *
 * @throws S3Error NotImplemented for forms that S3 does not implement either: `If-None-Match` with an entity tag,
 * `If-Match: *`, and both together
 */
export function readWriteCondition({ headers }: S3Exchange): WriteCondition {
  const ifNoneMatch = headers['if-none-match']
  const ifMatch = headers['if-match']
  if (ifNoneMatch !== undefined && ifNoneMatch !== '*') throw headerNotImplemented('If-None-Match')
  const matchesAny = ifMatch?.trim().replaceAll('"', '') === '*'
  if (matchesAny || (ifNoneMatch !== undefined && ifMatch !== undefined))
    throw headerNotImplemented('If-Match')
  return { ifNoneMatch: ifNoneMatch !== undefined, ifMatch }
}

/** Whether a list of entity tags (`"a", W/"b"` or `*`) contains this one. */
export function matchesEtag(list: string, etag: string): boolean {
  return list.split(',').some((entry) => {
    const tag = entry.trim().replace(/^W\//, '').replaceAll('"', '')
    return tag === '*' || tag === etag
  })
}

/** HTTP dates have a resolution of one second. */
function wholeSeconds(time: number): number {
  return Math.floor(time / 1000)
}

/**
 * Evaluates a conditional read in the order of RFC 9110, 13.2.2, as S3 does.
 *
 * @param headers the four condition headers; for a copy, the `x-amz-copy-source-if-…` headers
 * @returns whether the client already has the object (304)
 * @throws S3Error PreconditionFailed
 */
export function isUnmodified(
  object: ObjectVersion,
  headers: {
    ifMatch: string | undefined
    ifNoneMatch: string | undefined
    ifModifiedSince: string | undefined
    ifUnmodifiedSince: string | undefined
  },
): boolean {
  const date = (value: string | undefined) =>
    value === undefined ? Number.NaN : wholeSeconds(Date.parse(value))
  const modified = wholeSeconds(object.modifiedAt)
  if (headers.ifMatch !== undefined) {
    if (!matchesEtag(headers.ifMatch, object.etag)) {
      throw new S3Error('PreconditionFailed', undefined, { Condition: 'If-Match' })
    }
  } else if (modified > date(headers.ifUnmodifiedSince)) {
    throw new S3Error('PreconditionFailed', undefined, { Condition: 'If-Unmodified-Since' })
  }
  if (headers.ifNoneMatch !== undefined) return matchesEtag(headers.ifNoneMatch, object.etag)
  return modified <= date(headers.ifModifiedSince)
}
