import { access, type Operations } from './operation.ts'
import {
  formUpload,
  importedUpload,
  partUrls,
  readyUpload,
  receipt,
  receivedUpload,
  sampleId,
  sentParts,
} from './sample-upload.ts'

const owned = { tag: 'uploads', parameters: { id: sampleId } } as const
const download = { ...owned, tag: 'downloads', security: access.read } as const
const idempotencyKey = { 'idempotency-key': '8e03978e-40d5-43dd-bc93-6894a57f9324' }
const idempotencyErrors = ['idempotency_key_reused', 'idempotency_key_in_use'] as const
const quotaErrors = ['quota_exceeded', 'quota_exhausted_today'] as const
const redirect = {
  302: {
    description: 'A redirect to a signed URL of S3 that lives for minutes.',
    headers: { location: 'the signed URL' },
  },
}

export const uploadOperations: Operations = {
  'POST /uploads': {
    operationId: 'announceUpload',
    summary: 'Announce a file and get what sends it, or have it fetched',
    description:
      'Up to 8 MiB the transport is one signed form, above that signed parts. The bytes go straight to S3, ' +
      'which refuses any other size, type or name than announced here.\n\n' +
      'With `sourceUrl`, a worker fetches the file from a public http or https address. What is not told of it is ' +
      'taken from the answer: name, type and size, which is shown as 0 until then. The address is never shown again. An upload whose source is ' +
      'at fault ends `rejected`, one whose source could not be reached in several attempts `failed`.',
    tag: 'uploads',
    security: access.start,
    parameters: idempotencyKey,
    requestHeaders: {
      traceparent: {
        description: 'W3C Trace Context; goes with the upload to the workers',
        example: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      },
    },
    body: {
      filename: 'harbour.jpg',
      contentType: 'image/jpeg',
      size: 4_182_311,
      preset: 'default',
      metadata: { album: 'summer' },
    },
    otherBodies: { import: { sourceUrl: 'https://pictures.example/harbour.jpg', preset: 'default' } },
    answers: {
      201: {
        description: 'The upload awaits its bytes.',
        example: formUpload,
        otherExamples: { import: importedUpload },
        headers: { location: 'path of the upload', 'set-cookie': 'a session, for who came without one' },
      },
    },
    errors: [
      'preset_unknown',
      'upload_too_large',
      ...quotaErrors,
      ...idempotencyErrors,
      'dependency_unavailable',
    ],
  },
  'GET /uploads': {
    operationId: 'listUploads',
    summary: 'List your uploads, newest first',
    description: 'Who is not known has none. The next page begins after `nextCursor`.',
    tag: 'uploads',
    security: [{}, ...access.read],
    parameters: { cursor: sampleId, limit: 50 },
    answers: {
      200: { description: 'A page.', example: { uploads: [readyUpload], nextCursor: sampleId } },
    },
    errors: ['dependency_unavailable'],
  },
  'GET /uploads/:id': {
    ...owned,
    operationId: 'getUpload',
    summary: 'Look at an upload',
    description: "Somebody else's upload is as unknown as one that never was.",
    security: access.read,
    answers: { 200: { description: 'The upload.', example: readyUpload } },
    errors: ['upload_not_found', 'dependency_unavailable'],
  },
  'DELETE /uploads/:id': {
    ...owned,
    operationId: 'eraseUpload',
    summary: 'Erase an upload and all that was made of it',
    description:
      'Every version of every object, and what Redis knows. The receipt tells what was erased, after a listing ' +
      'showed that nothing is left. Done again it erases what came late, and answers another receipt.',
    security: access.write,
    answers: { 200: { description: 'The receipt.', example: receipt } },
    errors: ['upload_not_found', 'conflict', 'dependency_unavailable'],
  },
  'POST /upload': {
    operationId: 'sendFile',
    summary: 'Send a file through the API',
    description:
      'For clients that cannot send it to S3 straight: the file as it is, or as the only file of a form, with the ' +
      'fields `preset`, `sha256` and `metadata` before it. The body is streamed on, and limits hold while it comes.',
    tag: 'uploads',
    security: access.start,
    parameters: {
      filename: 'harbour.jpg',
      preset: 'default',
      sha256: readyUpload.sha256,
      metadata: '{"album":"summer"}',
      ...idempotencyKey,
    },
    bodyContent: {
      'application/octet-stream': {
        schema: { type: 'string', description: 'the file; any media type is taken' },
        example: '…the bytes of the file…',
      },
      'multipart/form-data': {
        schema: {
          type: 'object',
          required: ['file'],
          properties: {
            preset: { type: 'string' },
            sha256: { type: 'string' },
            metadata: { type: 'string', description: 'a JSON object of texts' },
            file: { type: 'string', description: 'the last field, and the only file' },
          },
        },
        example: { preset: 'default', file: '…the bytes of the file…' },
      },
    },
    answers: {
      201: {
        description: 'S3 has the file; workers will take it.',
        example: receivedUpload,
        headers: { location: 'path of the upload', 'set-cookie': 'a session, for who came without one' },
      },
    },
    errors: [
      'invalid_request',
      'preset_unknown',
      'upload_too_large',
      ...quotaErrors,
      ...idempotencyErrors,
      'unsupported_media_type',
      'request_timeout',
      'conflict',
      'dependency_unavailable',
    ],
  },
  'POST /uploads/:id/parts': {
    ...owned,
    operationId: 'signParts',
    summary: 'Sign parts, more of them or again',
    description: 'A URL is good for an hour. A part that is sent twice counts once.',
    security: access.write,
    body: { partNumbers: [1, 2] },
    answers: { 200: { description: 'Where to send the parts.', example: { parts: partUrls } } },
    errors: ['upload_not_found', 'upload_closed', 'upload_not_multipart', 'dependency_unavailable'],
  },
  'GET /uploads/:id/parts': {
    ...owned,
    operationId: 'listParts',
    summary: 'List the parts that S3 has',
    description: 'What is missing is left to send: after a reload, on another device or days later.',
    security: access.read,
    answers: {
      200: {
        description: 'The parts, in order, and what they are to be.',
        example: { parts: sentParts, partSize: 8_388_608, partCount: 3 },
      },
    },
    errors: ['upload_not_found', 'upload_closed', 'upload_not_multipart', 'dependency_unavailable'],
  },
  'POST /uploads/:id/complete': {
    ...owned,
    operationId: 'completeUpload',
    summary: 'Make one file of the parts',
    description: 'Done again it changes nothing, so a client that lost the answer may repeat it.',
    security: access.write,
    body: { parts: sentParts.map(({ partNumber, etag }) => ({ partNumber, etag })) },
    answers: { 202: { description: 'S3 has the file; workers will take it.', example: receivedUpload } },
    errors: [
      'upload_not_found',
      'upload_not_multipart',
      'parts_mismatch',
      'conflict',
      'dependency_unavailable',
    ],
  },
  'GET /uploads/:id/original': {
    ...download,
    operationId: 'getOriginal',
    summary: 'Download the file itself',
    description: 'As it came, once it has passed inspection.',
    answers: redirect,
    errors: ['upload_not_found', 'upload_not_ready', 'dependency_unavailable'],
  },
  'GET /uploads/:id/variants/:name': {
    ...download,
    operationId: 'getVariant',
    summary: 'Download a variant',
    description: 'By its name in the preset.',
    parameters: { id: sampleId, name: 'thumbnail' },
    answers: redirect,
    errors: ['upload_not_found', 'upload_not_ready', 'variant_not_found', 'dependency_unavailable'],
  },
  'GET /events': {
    operationId: 'watchUploads',
    summary: 'Follow all of your uploads',
    description:
      'First `snapshot`, a page as `GET /uploads` has it; then `upload` for each change and `erased` for each ' +
      'erasure. With `Last-Event-ID` the snapshot is left out where all that happened since can be told.',
    tag: 'events',
    security: access.read,
    parameters: { 'last-event-id': '42' },
    answers: {
      200: {
        description: 'The stream. It does not end.',
        content: {
          'text/event-stream': {
            schema: { type: 'string' },
            example: `retry: 2000\n\nid: 43\nevent: upload\ndata: ${JSON.stringify(readyUpload)}\n\n`,
          },
        },
      },
    },
    errors: ['dependency_unavailable'],
  },
  'GET /uploads/:id/events': {
    ...owned,
    tag: 'events',
    operationId: 'watchUpload',
    summary: 'Follow an upload to its end',
    description:
      'Events are named `upload`; the data is the upload as JSON. A snapshot first, then each change; the ' +
      'stream ends with the upload. A client that reconnects with `Last-Event-ID` is spared what it has seen.',
    security: access.read,
    parameters: { id: sampleId, 'last-event-id': '1795512603000-4' },
    answers: {
      200: {
        description: 'The stream.',
        content: {
          'text/event-stream': {
            schema: { type: 'string' },
            example: `retry: 2000\n\nid: 1795512603000-4\nevent: upload\ndata: ${JSON.stringify(readyUpload)}\n\n`,
          },
        },
      },
      204: { description: 'The client has seen the end: an EventSource does not come back.' },
    },
    errors: ['upload_not_found', 'dependency_unavailable'],
  },
}
