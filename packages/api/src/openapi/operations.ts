import type { ErrorCode } from '@millrace/shared/service/app-error.ts'
import { fleetOperations } from './fleet-operations.ts'
import { healthOperations } from './health-operations.ts'
import type { Operations } from './operation.ts'
import { sessionOperations } from './session-operations.ts'
import { uploadOperations } from './upload-operations.ts'

/** Every route that the OpenAPI document describes. A route that is added needs a line here: a test says so. */
export const operations: Operations = {
  ...uploadOperations,
  ...sessionOperations,
  ...healthOperations,
  ...fleetOperations,
}

/** Codes that no operation answers, and where they are met instead. */
export const codesElsewhere: Partial<Record<ErrorCode, string>> = {
  not_found: 'of an address that no route has',
  headers_too_large: 'of a request whose headers are refused before any route is known',
  tus_version_unsupported: 'of tus, at `/tus/`',
  upload_offset_mismatch: 'of tus, at `/tus/`',
  upload_expired: 'of tus, at `/tus/`',
  upload_locked: 'of tus, at `/tus/`',
  chunk_checksum_mismatch: 'of tus, at `/tus/`',
  image_corrupt: 'of an upload that was rejected',
  image_too_many_pixels: 'of an upload that was rejected',
  image_too_large: 'of an upload that was rejected',
  size_mismatch: 'of an upload that was rejected',
  checksum_mismatch: 'of an upload that was rejected',
  type_not_allowed: 'of an upload that was rejected',
  source_refused: 'of an import that was rejected',
  source_not_found: 'of an import that was rejected',
  source_unusable: 'of an import that was rejected',
  source_too_slow: 'of an import that was rejected',
  source_unavailable: 'of an import that failed',
  processing_failed: 'of an upload that failed',
  draining: 'of an instance that is shutting down',
}
