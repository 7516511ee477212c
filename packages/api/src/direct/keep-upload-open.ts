import type { Quota } from '@millrace/shared/quotas/quota.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { Logger } from 'pino'

/** How long a direct upload lasts after its last renewal, in ms. */
export const directUploadLifeMs = 10 * 60 * 1000
/** In ms. Two renewals may fail. */
const defaultRenewMs = 3 * 60 * 1000

/**
 * Nobody can continue a direct upload whose instance has died. So it expires soon, unless this function renews it.
 *
 * @param deps.renewMs time between two renewals, in ms
 */
export function createKeepUploadOpen(deps: {
  records: Pick<UploadRecords, 'update'>
  quota: Pick<Quota, 'extend'>
  log: Pick<Logger, 'warn'>
  renewMs?: number
}) {
  const { records, quota, log, renewMs = defaultRenewMs } = deps

  /** Renews the upload and its reservation until the work ends. @returns the work's result */
  return async function keepUploadOpen<Result>(
    address: UploadAddress,
    work: () => Promise<Result>,
  ): Promise<Result> {
    const timer = setInterval(() => {
      renew(address).catch((error) => log.warn({ err: error }, 'direct upload not renewed'))
    }, renewMs)
    try {
      return await work()
    } finally {
      clearInterval(timer)
    }
  }

  async function renew(address: UploadAddress): Promise<void> {
    const expiresAtMs = Date.now() + directUploadLifeMs
    const expiresAt = new Date(expiresAtMs).toISOString()
    await records.update(address, (current) =>
      current.state === 'awaiting' ? { ...current, expiresAt } : undefined,
    )
    await quota.extend(address, expiresAtMs)
  }
}

export type KeepUploadOpen = ReturnType<typeof createKeepUploadOpen>
