import type { S3Client } from '@aws-sdk/client-s3'
import { createPublicAddress } from '@millrace/shared/imports/public-address.ts'
import type { Lifecycle } from '@millrace/shared/lifecycle/lifecycle.ts'
import { createAbortMultipartUploads } from '@millrace/shared/parts/abort-multipart-uploads.ts'
import { createFetchSource } from './fetch-source.ts'
import { createFinishImport } from './finish-import.ts'
import { createImportUpload } from './import-upload.ts'
import { createSourceAddresses } from './source-addresses.ts'
import { createTellImport } from './tell-import.ts'

/** Composes imports: a source is fetched from public addresses only and stored as an original. */
export function createImports(deps: {
  s3: S3Client
  bucket: string
  lifecycle: Lifecycle
  config: {
    importAllowedNetworks: string[]
    importAllowedPorts: readonly number[]
    importDnsServers: string[]
    importIdleTimeoutMs: number
    importTimeoutMs: number
    importMinBytesPerSecond: number
    maxUploadBytes: number
  }
}) {
  const { s3, bucket, config } = deps
  const { records, receiveUpload, isErased, finishErasure, quota, storeOriginal, outbox } = deps.lifecycle
  const tellImport = createTellImport({ outbox })
  const finishImport = createFinishImport({ records, quota, tellImport })
  return {
    finishImport,
    importUpload: createImportUpload({
      records,
      receiveUpload,
      isErased,
      finishErasure,
      abortMultipartUploads: createAbortMultipartUploads({ s3, bucket }),
      quota,
      fetchSource: createFetchSource({
        sourceAddresses: createSourceAddresses({
          isPermitted: createPublicAddress(config.importAllowedNetworks),
          dnsServers: config.importDnsServers,
        }),
        allowedPorts: config.importAllowedPorts,
        idleTimeoutMs: config.importIdleTimeoutMs,
        minBytesPerSecond: config.importMinBytesPerSecond,
      }),
      storeOriginal,
      finishImport,
      tellImport,
      maxUploadBytes: config.maxUploadBytes,
      timeoutMs: config.importTimeoutMs,
    }),
  }
}

export type Imports = ReturnType<typeof createImports>
