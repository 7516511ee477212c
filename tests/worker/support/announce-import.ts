import { createAdmitUpload } from '@millrace/api/announcing/admit-upload.ts'
import { createIntentCheck } from '@millrace/api/announcing/check-intent.ts'
import { createMultipartUploads } from '@millrace/api/announcing/multipart-uploads.ts'
import { createNameNetworks } from '@millrace/api/announcing/name-networks.ts'
import { createStartImport, type ImportRequest } from '@millrace/api/announcing/start-import.ts'
import type { Caller, TokenLimits } from '@millrace/api/credentials/caller.ts'
import { createUrlSigner } from '@millrace/api/signing/sign-url.ts'
import { createRedisMemory } from '@millrace/shared/connections/redis-memory.ts'
import { createImportQueue } from '@millrace/shared/jobs/import-upload-job.ts'
import { createAnnouncements } from '@millrace/shared/ledger/announcements.ts'
import { createOriginals } from '@millrace/shared/ledger/originals.ts'
import { createAbortMultipartUploads } from '@millrace/shared/parts/abort-multipart-uploads.ts'
import { builtInPresets } from '@millrace/shared/presets/preset.ts'
import { createAddressQuota } from '@millrace/shared/quotas/address-quota.ts'
import { createQuota } from '@millrace/shared/quotas/quota.ts'
import { createQuotaReservations, type QuotaLimits } from '@millrace/shared/quotas/quota-reservations.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { createUnfinishedUploads } from '@millrace/shared/uploads/unfinished-uploads.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { WorkerFleet } from './worker-fleet.ts'

/**
 * Announces imports to a fleet without an API, in the same way as the API.
 *
 * @param options.ports allowed ports of sources
 * @param options.owner who imports
 * @param options.maxUploadBytes the size limit of a file, in bytes
 */
export function createImporter(
  fleet: WorkerFleet,
  options: { ports: number[]; maxUploadBytes: number; limits?: QuotaLimits; owner?: string },
) {
  const { ports, maxUploadBytes, limits = {}, owner = 's-tester' } = options
  const { redis, records, s3, bucket } = fleet
  const imports = createImportQueue(fleet)
  const reservations = createQuotaReservations(fleet)
  const originals = createOriginals(fleet)
  const addressQuota = createAddressQuota({ redis, prefix: fleet.prefix, limits: {} })
  const quota = createQuota({ reservations, limits, addressQuota, records, originals, s3, bucket })
  const checkIntent = createIntentCheck({ presets: builtInPresets, maxUploadBytes })
  const admitUpload = createAdmitUpload({
    redisMemory: createRedisMemory({ redis }),
    records,
    checkIntent,
    unfinished: createUnfinishedUploads({ ...fleet, limits: { owner: 0, address: 0 } }),
    quota,
    addressQuota,
    // The tokens of these tests have no counted limits.
    tokenUse: { reserve: async () => undefined, cancel: async () => undefined },
    nameNetworks: createNameNetworks({ key: Buffer.alloc(32) }),
    originals,
    multipartUploads: createMultipartUploads({ s3, bucket, signer: createUrlSigner({ s3, bucket }) }),
    abortMultipartUploads: createAbortMultipartUploads({ s3, bucket }),
    announcements: createAnnouncements({ s3, bucket }),
    log: createLog({ level: 'silent', instance: 'test' }),
  })
  const startImport = createStartImport({ admitUpload, imports, allowedPorts: ports })
  return {
    imports,
    quota,
    /**
     * Does the same as `POST /uploads`.
     * @param clientAddress undefined for a client with an API key
     * @param tokenLimits of a client with an upload token
     */
    async announce(
      sourceUrl: string,
      request: Omit<ImportRequest, 'sourceUrl'> = {},
      clientAddress?: string,
      tokenLimits?: TokenLimits,
    ): Promise<UploadAddress> {
      const caller = tokenLimits && callerWith(owner, tokenLimits)
      const { id } = await startImport({ owner, address: clientAddress, caller }, { sourceUrl, ...request })
      return { owner, id }
    },
    close: () => imports.close(),
  }
}

/** Returns the caller of a request with an upload token. */
function callerWith(owner: string, limits: TokenLimits): Caller {
  return {
    kind: 'token',
    id: 'token-test',
    ...{ tenant: 'acme', user: 'ada', owner, limits },
    scopes: new Set(['uploads:write']),
    endsAtMs: undefined,
    hasEnded: async () => false,
  }
}

export type Importer = ReturnType<typeof createImporter>
