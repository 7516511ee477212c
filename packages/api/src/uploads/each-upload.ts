import { isOutage } from '@millrace/shared/connections/outage.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { FastifyBaseLogger } from 'fastify'

/** How many uploads of one request are worked on at once. Each takes some requests to S3. */
const atOnce = 16

/**
 * Runs a function for each of many uploads, a few at a time. What fails for one upload does not stop the others: it becomes
 * that upload's result, so that no failure is silent. An id that is named twice is run once.
 *
 * @param options.run what is done for one upload
 * @param options.refused the result of an upload for which `run` threw
 * @param options.log errors that are not the client's
 * @returns the results in the order of the ids
 */
export async function eachUpload<Item extends { id: string }, Result>(
  items: readonly Item[],
  options: {
    run: (item: Item) => Promise<Result>
    refused: (item: Item, error: AppError) => Result
    log: FastifyBaseLogger
  },
): Promise<Result[]> {
  const { run, refused, log } = options
  const unique = [...new Map(items.map((item) => [item.id, item])).values()]
  const results: Result[] = []
  for (let start = 0; start < unique.length; start += atOnce) {
    const batch = unique.slice(start, start + atOnce).map((item) =>
      run(item).catch((thrown: unknown) => {
        const error = toAppError(thrown)
        if (error.code === 'internal' || error.code === 'dependency_unavailable')
          log.error({ err: thrown, code: error.code, uploadId: item.id }, 'one of many uploads failed')
        return refused(item, error)
      }),
    )
    results.push(...(await Promise.all(batch)))
  }
  return results
}

function toAppError(thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown
  return new AppError(isOutage(thrown) ? 'dependency_unavailable' : 'internal', { cause: thrown })
}
