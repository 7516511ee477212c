import type { ErrorCode } from '@millrace/shared/service/app-error.ts'
import { deadLetterOperations } from './dead-letter-operations.ts'
import { deliveryOperations } from './delivery-operations.ts'
import { directOperations } from './direct-operations.ts'
import { fleetOperations } from './fleet-operations.ts'
import { healthOperations } from './health-operations.ts'
import { keyOperations } from './key-operations.ts'
import type { Operations } from './operation.ts'
import { sessionOperations } from './session-operations.ts'
import { tenantOperations } from './tenant-operations.ts'
import { tokenOperations } from './token-operations.ts'
import { tusOperations } from './tus-operations.ts'
import { uploadOperations } from './upload-operations.ts'
import { uppyOperations } from './uppy-operations.ts'
import { webhookOperations } from './webhook-operations.ts'

/** All routes in the OpenAPI document. A new route needs an entry here, or a test fails. */
export const operations: Operations = {
  ...uploadOperations,
  ...directOperations,
  ...tusOperations,
  ...uppyOperations,
  ...sessionOperations,
  ...tokenOperations,
  ...keyOperations,
  ...tenantOperations,
  ...healthOperations,
  ...fleetOperations,
  ...deadLetterOperations,
  ...webhookOperations,
  ...deliveryOperations,
}

/** Codes that no operation returns, and where they occur instead. */
export const codesOutsideOperations: Partial<Record<ErrorCode, string>> = {
  not_found: 'a path without a route',
  headers_too_large: 'a request that is refused before routing',
  host_unknown: 'a request for a host that the API does not serve',
  image_corrupt: 'a rejected upload',
  image_too_many_pixels: 'a rejected upload',
  image_too_large: 'a rejected upload',
  image_too_complex: 'a rejected upload',
  image_not_supported: 'a rejected upload',
  malware_found: 'a rejected upload',
  too_large_to_scan: 'a rejected upload',
  inspection_refused: 'a rejected upload',
  scan_unavailable: 'an upload whose processing is retried',
  poison_file: 'a rejected upload',
  size_mismatch: 'a rejected upload',
  checksum_mismatch: 'a rejected upload',
  type_not_allowed: 'a rejected upload',
  source_refused: 'a rejected import',
  source_not_found: 'a rejected import',
  source_unusable: 'a rejected import',
  source_too_slow: 'a rejected import',
  source_unavailable: 'a failed import',
  processing_failed: 'a failed upload',
  draining: 'an instance that is shutting down',
}
