/** An operation did not end by its deadline. It may still be running. */
export class DeadlineError extends Error {
  override readonly name = 'DeadlineError'
}

/**
 * Settles as `work` does, or rejects once the deadline is over. The work itself is not stopped.
 *
 * @param what names the work in the error
 * @param deadlineMs milliseconds
 * @throws DeadlineError
 */
export async function withDeadline<Result>(
  what: string,
  deadlineMs: number,
  work: () => Result | Promise<Result>,
): Promise<Result> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    late.reject(new DeadlineError(`${what} did not end within ${deadlineMs} ms.`))
  }, deadlineMs)
  try {
    return await Promise.race([work(), late.promise])
  } finally {
    clearTimeout(timer)
  }
}
