import { createIntentCheck } from '@millrace/api/uploads/check-intent.ts'
import { createStartImport, type ImportRequest } from '@millrace/api/uploads/start-import.ts'
import { createImportQueue } from '@millrace/shared/jobs/import-upload-job.ts'
import { createOriginals } from '@millrace/shared/ledger/originals.ts'
import { builtInPresets } from '@millrace/shared/presets/preset.ts'
import { createQuota } from '@millrace/shared/quotas/quota.ts'
import { createQuotaReservations, type QuotaLimits } from '@millrace/shared/quotas/quota-reservations.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { WorkerFleet } from './worker-fleet.ts'

const owner = 's-tester'

/**
 * What the API is to imports, for a fleet that has none.
 *
 * @param options.ports that sources may be of
 * @param options.maxUploadBytes the largest file taken
 */
export function createImporter(
  fleet: WorkerFleet,
  options: { ports: number[]; maxUploadBytes: number; limits?: QuotaLimits },
) {
  const { ports, maxUploadBytes, limits = {} } = options
  const { records, s3, bucket } = fleet
  const imports = createImportQueue(fleet)
  const reservations = createQuotaReservations(fleet)
  const quota = createQuota({ reservations, limits, originals: createOriginals(fleet), s3, bucket })
  const checkIntent = createIntentCheck({ presets: builtInPresets, maxUploadBytes })
  const startImport = createStartImport({ records, checkIntent, quota, imports, allowedPorts: ports })
  return {
    imports,
    quota,
    /** What `POST /uploads` does. */
    async announce(sourceUrl: string, more: Omit<ImportRequest, 'sourceUrl'> = {}): Promise<UploadAddress> {
      const { id } = await startImport(owner, { sourceUrl, ...more })
      return { owner, id }
    },
    close: () => imports.close(),
  }
}

export type Importer = ReturnType<typeof createImporter>
