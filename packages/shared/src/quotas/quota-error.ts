import { AppError } from '../service/app-error.ts'
import type { QuotaLimit } from './quota-reservations.ts'

const dayMs = 24 * 60 * 60 * 1000

/** What each limit counts, for messages. */
const limitUnits = {
  bytesTotal: 'bytes in total',
  filesTotal: 'files in total',
  bytesPerDay: 'bytes per day',
  filesPerDay: 'files per day',
} satisfies Record<QuotaLimit, string>

/**
 * Returns the error of a refused reservation: `quota_exhausted_today` if the upload may fit tomorrow, otherwise
 * `quota_exceeded`.
 *
 * @param refusal.holder whose quota it is, if it is not the owner's
 * @param bytes the upload's size
 */
export function quotaError(
  refusal: { by: QuotaLimit; limit: number; remaining: number; holder?: string },
  bytes: number,
): AppError {
  const { by, limit, remaining, holder } = refusal
  const details = { limit, remaining }
  const message = `The quota${holder ? ` of ${holder}` : ''} is ${limit} ${limitUnits[by]}; ${remaining} are left.`
  const exceedsEveryDay = by === 'bytesPerDay' ? bytes > limit : limit === 0
  if (by === 'bytesTotal' || by === 'filesTotal' || exceedsEveryDay) {
    return new AppError('quota_exceeded', { message, ...details })
  }
  const retryAfterSeconds = Math.ceil((dayMs - (Date.now() % dayMs)) / 1000)
  return new AppError('quota_exhausted_today', { message, ...details, retryAfterSeconds })
}
