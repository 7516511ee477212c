import { S3ServiceException } from '@aws-sdk/client-s3'
import * as assert from 'uvu/assert'

/**
 * Asserts that an SDK call fails with this S3 error code and HTTP status.
 *
 * @returns the exception
 */
export async function expectS3Error(
  call: Promise<unknown>,
  code: string,
  status: number,
): Promise<S3ServiceException> {
  const thrown = await call.then(
    () => undefined,
    (error: unknown) => error,
  )
  if (thrown === undefined) throw new Error(`expected ${code}, but the call succeeded`)
  if (!(thrown instanceof S3ServiceException)) throw thrown
  assert.is(thrown.name, code)
  assert.is(thrown.$metadata.httpStatusCode, status)
  return thrown
}

/** Returns the HTTP status of a failed SDK call, for responses without an error document. */
export async function errorStatus(call: Promise<unknown>): Promise<number | undefined> {
  const thrown = await call.then(
    () => undefined,
    (error: unknown) => error,
  )
  if (!(thrown instanceof S3ServiceException)) throw thrown ?? new Error('the call succeeded')
  return thrown.$metadata.httpStatusCode
}
