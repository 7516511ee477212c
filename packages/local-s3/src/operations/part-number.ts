import { S3Error } from '../protocol/s3-error.ts'
import type { S3Exchange } from '../protocol/s3-exchange.ts'

const maxPartNumber = 10_000

/**
 * Returns the `partNumber` parameter of a request, if it has one.
 * @throws S3Error InvalidArgument
 */
export function readPartNumber(exchange: S3Exchange): number | undefined {
  const value = exchange.query('partNumber')
  if (value === undefined) return undefined
  const number = Number(value)
  if (/^\d{1,5}$/.test(value) && number >= 1 && number <= maxPartNumber) return number
  throw new S3Error(
    'InvalidArgument',
    `Part number must be an integer between 1 and ${maxPartNumber}, inclusive`,
    { ArgumentName: 'partNumber', ArgumentValue: value },
  )
}

/**
 * Returns the `partNumber` parameter of an operation on a part.
 * @throws S3Error InvalidArgument
 */
export function requirePartNumber(exchange: S3Exchange): number {
  const number = readPartNumber(exchange)
  if (number === undefined) throw new S3Error('InvalidArgument', undefined, { ArgumentName: 'partNumber' })
  return number
}
