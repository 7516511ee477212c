import { ApiProblem, type Client, dataOf } from '@millrace/client'

/** How many uploads one request erases: few enough that its progress is seen. */
const erasedAtOnce = 25
/** How many uploads are asked for at the same time. The API allows each owner a few requests at once. */
const askedAtOnce = 4

/** What happened to each of several uploads. */
export type BulkResult = {
  done: string[]
  /** Ids by the reason why nothing was done. */
  failures: Map<string, string[]>
}

export type OnProgress = (done: number, total: number) => void

/** Creates what can be done with many uploads at once. Nothing throws: each upload is done, or has a reason. */
export function createBulk({ client }: { client: Client }) {
  return {
    /** Erases uploads. Those that do not exist any more count as done. */
    async erase(ids: readonly string[], onProgress: OnProgress): Promise<BulkResult> {
      const result = emptyResult()
      for (let at = 0; at < ids.length; at += erasedAtOnce) {
        const chunk = ids.slice(at, at + erasedAtOnce)
        try {
          const { results } = dataOf(await client.api.POST('/uploads/delete', { body: { ids: chunk } }))
          for (const { id, outcome, error } of results) {
            if (outcome === 'failed') addFailure(result, error?.message ?? 'The API gave no reason.', id)
            else result.done.push(id)
          }
        } catch (error) {
          for (const id of chunk) addFailure(result, reasonOf(error), id)
        }
        onProgress(Math.min(at + chunk.length, ids.length), ids.length)
      }
      return result
    },

    /** Processes uploads again. @param preset undefined: that of each upload */
    reprocess(
      ids: readonly string[],
      preset: string | undefined,
      onProgress: OnProgress,
    ): Promise<BulkResult> {
      return forEach(ids, onProgress, async (id) => {
        await client.reprocess(id, preset === undefined ? {} : { preset })
      })
    },

    /** Returns signed URLs of originals, in the order of the uploads, and when the first of them ends. */
    async links(ids: readonly string[], onProgress: OnProgress) {
      const signed = new Map<string, { url: string; expiresAt: string }>()
      const result = await forEach(ids, onProgress, async (id) => {
        signed.set(id, await client.downloadUrl(id))
      })
      const links = ids.flatMap((id) => signed.get(id) ?? [])
      const [firstEnd] = links.map(({ expiresAt }) => expiresAt).sort()
      return { ...result, urls: links.map(({ url }) => url), expiresAt: firstEnd }
    },
  }
}

/** Returns why something failed, as a sentence. */
export function reasonOf(error: unknown): string {
  if (error instanceof ApiProblem) return error.message
  // `fetch` fails with a TypeError if there is no connection.
  if (error instanceof TypeError) return 'The server cannot be reached.'
  return error instanceof Error ? error.message : String(error)
}

/** Describes failures in one line, the most frequent reason first: "The upload is not finished (3)". */
export function describeFailures(failures: ReadonlyMap<string, readonly string[]>): string {
  return [...failures]
    .sort(([, one], [, other]) => other.length - one.length)
    .map(([reason, ids]) => (ids.length === 1 ? reason : `${reason} (${ids.length} times)`))
    .join(' ')
}

async function forEach(
  ids: readonly string[],
  onProgress: OnProgress,
  run: (id: string) => Promise<void>,
): Promise<BulkResult> {
  const result = emptyResult()
  const waiting = [...ids]
  let done = 0
  async function work(): Promise<void> {
    for (let id = waiting.shift(); id !== undefined; id = waiting.shift()) {
      try {
        await run(id)
        result.done.push(id)
      } catch (error) {
        addFailure(result, reasonOf(error), id)
      }
      done += 1
      onProgress(done, ids.length)
    }
  }
  await Promise.all(Array.from({ length: askedAtOnce }, work))
  return result
}

function emptyResult(): BulkResult {
  return { done: [], failures: new Map() }
}

function addFailure({ failures }: BulkResult, reason: string, id: string): void {
  failures.set(reason, [...(failures.get(reason) ?? []), id])
}
