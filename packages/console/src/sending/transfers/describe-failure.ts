import { ApiProblem, isRetryable, SendError } from '@millrace/client'

/** A longer `Retry-After` is not waited for, in ms: a daily quota has one, for example. */
const maxRetryAfterMs = 60_000

/** What a failure means for a file. */
export type Failure = {
  /** `temporary`: the page tries again by itself. `erased`: somebody else deleted the upload. */
  kind: 'temporary' | 'erased' | 'final'
  /** A sentence. Absent if the network is to blame. */
  problem?: string
  /** How long the API asks to wait, in ms. */
  retryAfterMs: number
}

/** Returns what an error of `startUpload` means. */
export function describeFailure(error: unknown): Failure {
  if (error instanceof ApiProblem) {
    const { code, retryAfterMs = 0 } = error
    const problem = messageOf(error)
    if (code === 'upload_not_found') return { kind: 'erased', problem, retryAfterMs }
    const isTemporary = isRetryable(error) && retryAfterMs <= maxRetryAfterMs
    return { kind: isTemporary ? 'temporary' : 'final', problem, retryAfterMs }
  }
  const kind = isRetryable(error) ? 'temporary' : 'final'
  // There was no response at all.
  const isNetwork = error instanceof TypeError || (error instanceof SendError && error.status === 0)
  if (kind === 'temporary' && isNetwork) return { kind, retryAfterMs: 0 }
  return { kind, problem: error instanceof Error ? error.message : String(error), retryAfterMs: 0 }
}

function messageOf({ message, problem }: ApiProblem): string {
  const fields = problem?.errors?.map(({ field, message }) => `${field} ${message}`).join('; ')
  return fields ? `${message} (${fields})` : message
}
