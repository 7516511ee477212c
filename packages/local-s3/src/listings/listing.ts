import { urlEncodeKey } from '../protocol/object-keys.ts'
import { S3Error } from '../protocol/s3-error.ts'
import type { S3Exchange } from '../protocol/s3-exchange.ts'

/** S3's maximum number of entries per page. */
const maxPageSize = 1000

/**
 * Reads a `max-keys`, `max-parts` or `max-uploads` parameter.
 * @throws S3Error InvalidArgument
 */
export function readPageSize(exchange: S3Exchange, name: string): number {
  const value = exchange.query(name)
  if (value === undefined || value === '') return maxPageSize
  if (!/^\d{1,10}$/.test(value) || Number(value) > 2 ** 31 - 1) {
    throw new S3Error('InvalidArgument', `Argument ${name} must be an integer between 0 and 2147483647`, {
      ArgumentName: name,
      ArgumentValue: value,
    })
  }
  return Math.min(Number(value), maxPageSize)
}

/**
 * Returns the function that writes keys into a listing: unchanged, or URL-encoded with `encoding-type=url`.
 * @throws S3Error InvalidArgument
 */
export function keyEncoder(exchange: S3Exchange): (key: string) => string {
  const encoding = exchange.query('encoding-type')
  if (encoding === undefined) return (key) => key
  if (encoding !== 'url') {
    throw new S3Error('InvalidArgument', 'Invalid Encoding Method specified in Request', {
      ArgumentName: 'encoding-type',
      ArgumentValue: encoding,
    })
  }
  return urlEncodeKey
}

/** Formats a time for a listing. S3 lists times in whole seconds. */
export function listedTime(time: number): string {
  return new Date(Math.floor(time / 1000) * 1000).toISOString()
}
