import type { Client } from 'openapi-fetch'
import type { paths } from '../api/api-types.ts'
import { createFindInterrupted } from './find-interrupted.ts'
import { createInterruptedUploads } from './interrupted-uploads.ts'
import { sendBody } from './send-body.ts'
import { createSendFile } from './send-file.ts'
import { createSlots } from './slots.ts'
import { createStartUpload } from './start-upload.ts'
import { createUpload } from './upload.ts'
import { createUploadRequests } from './upload-requests.ts'
import type { UploadStorage } from './upload-storage.ts'

/**
 * Files that are sent at the same time, and requests to S3. Browsers open six connections to a host (HTTP/1.1); a request
 * that waits for one would seem idle.
 */
const defaultConcurrency = 6

/** Composes what sends files to S3. */
export function createSending(deps: {
  api: Client<paths>
  origin?: string | undefined
  storage?: UploadStorage | undefined
  concurrency?: number | undefined
}) {
  const { api, origin, storage, concurrency = defaultConcurrency } = deps
  const requests = createUploadRequests({ api })
  const bodies = createSlots(concurrency)
  const sendFile = createSendFile({
    requests,
    sendBody: (options) => bodies.run(options.signal, () => sendBody(options)),
  })
  const interrupted = createInterruptedUploads({ storage, origin })
  const startUpload = createStartUpload({ requests, sendFile, interrupted, files: createSlots(concurrency) })
  return {
    startUpload,
    upload: createUpload({ startUpload }),
    findInterrupted: createFindInterrupted({ requests, interrupted }),
  }
}
