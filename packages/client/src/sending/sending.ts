import type { Client } from 'openapi-fetch'
import type { paths } from '../api/api-types.ts'
import { createSendFile } from './send-file.ts'
import { createStartUpload } from './start-upload.ts'
import { createUpload } from './upload.ts'
import { createUploadRequests } from './upload-requests.ts'

/** Composes what sends files to S3. */
export function createSending({ api }: { api: Client<paths> }) {
  const requests = createUploadRequests({ api })
  const startUpload = createStartUpload({ requests, sendFile: createSendFile({ requests }) })
  return { startUpload, upload: createUpload({ startUpload }) }
}
