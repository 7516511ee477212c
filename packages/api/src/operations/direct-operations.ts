import { type Operations, securityRequirements } from './operation.ts'
import { readyUpload, receipt, receivedUpload } from './sample-upload.ts'
import {
  idempotencyDescription,
  idempotencyErrors,
  idempotencyKey,
  quotaErrors,
  tokenErrors,
} from './upload-operations.ts'

const sent = {
  tag: 'uploads',
  security: securityRequirements.writeOrNewSession,
  parameters: {
    filename: 'harbour.jpg',
    preset: 'default',
    sha256: readyUpload.sha256,
    metadata: '{"album":"summer"}',
    ...idempotencyKey,
  },
  exampleParameters: ['filename'],
  responses: {
    201: {
      description:
        'The file is stored in S3 and its processing is queued. Of a form with several files, the response lists the uploads.',
      example: receivedUpload,
      otherExamples: { several: { uploads: [receivedUpload] } },
      headers: {
        location: 'path of the upload, if it is one',
        'set-cookie': 'a new session, if the request had none',
      },
    },
  },
  errors: [
    'invalid_request',
    'preset_unknown',
    'upload_too_large',
    ...quotaErrors,
    ...tokenErrors,
    ...idempotencyErrors,
    'too_many_sessions',
    'storage_busy',
    'too_many_uploads',
    'unsupported_media_type',
    'request_timeout',
    'dependency_unavailable',
  ],
} as const

const rawBody = {
  'application/octet-stream': {
    schema: { type: 'string', description: 'the file; any media type is accepted' },
    example: '…the bytes of the file…',
  },
}

/** Descriptions of `/upload`. */
export const directOperations: Operations = {
  'POST /upload': {
    ...sent,
    operationId: 'sendFile',
    summary: 'Send files through the API',
    description:
      'For clients that cannot send files directly to S3. The body is the file itself, or a form as HTML, FilePond, Dropzone ' +
      'and Uppy send it. The body is streamed to S3, and limits are checked while it arrives.\n\n' +
      'A form has up to 100 files, in fields of any name. Each becomes an upload. The fields `preset`, `sha256` (of a form with one ' +
      'file) and `metadata` come before the first file. Other text fields become metadata of the files after them, if they can ' +
      'be: names as in `metadata`, values up to 256 characters; the others are ignored, and so are fields after the last file. If a ' +
      'file is refused, those before it are stored, and the problem lists them.\n\n' +
      `${idempotencyDescription} If S3 has the file by then, the response is sent without reading a body that is the file itself. ` +
      'Each file of a form counts by its position.',
    bodyContent: {
      ...rawBody,
      'multipart/form-data': {
        schema: {
          type: 'object',
          required: ['file'],
          properties: {
            preset: { type: 'string' },
            sha256: { type: 'string' },
            metadata: { type: 'string', description: 'a JSON object with string values' },
            file: { type: 'string', description: 'one or more files; the field may have any name' },
          },
          additionalProperties: { type: 'string' },
        },
        example: { preset: 'default', file: '…the bytes of the file…' },
      },
    },
  },
  'PUT /upload': {
    ...sent,
    operationId: 'putFile',
    summary: 'Send a file through the API by PUT',
    description:
      'For `curl -T photo.jpg https://…/upload/`, which sends it to `/upload/photo.jpg`: the last part of the path names the file. ' +
      'Without a name there, in `filename` or in `Content-Disposition`, it is called `file`. Otherwise it is like `POST /upload`: ' +
      'each request creates another upload.',
    bodyContent: rawBody,
  },
  'DELETE /upload': {
    operationId: 'revertUpload',
    summary: 'Erase what was sent',
    description:
      'The body is an id, or a response of `POST /upload`, as text of any type: FilePond sends back what it got. Its uploads are ' +
      'erased as by `DELETE /uploads/{id}`.',
    tag: 'uploads',
    security: securityRequirements.write,
    bodyContent: {
      'text/plain': { schema: { type: 'string' }, example: receivedUpload.id },
    },
    responses: { 200: { description: 'The receipts.', example: { receipts: [receipt] } } },
    errors: ['invalid_request', 'upload_not_found', 'conflict', 'dependency_unavailable'],
  },
}
