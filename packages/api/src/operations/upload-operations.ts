import { type Operations, securityRequirements } from './operation.ts'
import {
  arrivedUpload,
  formUpload,
  importedUpload,
  partUrls,
  putUpload,
  readyUpload,
  receipt,
  receivedUpload,
  sampleEvidence,
  sampleId,
  sampleProgress,
  sentParts,
} from './sample-upload.ts'

const owned = { tag: 'uploads', parameters: { id: sampleId } } as const
const download = { ...owned, tag: 'downloads', security: securityRequirements.read } as const
export const idempotencyKey = { 'idempotency-key': '8e03978e-40d5-43dd-bc93-6894a57f9324' }
export const idempotencyErrors = [
  'idempotency_key_reused',
  'idempotency_key_in_use',
  'upload_not_found',
  'conflict',
] as const
/** Markdown. What both streams say about the event `progress`. */
const progressDescription =
  'While a worker processes a file that takes longer than a moment, `progress` tells how far it is (schema ' +
  '`UploadProgress`): `inspecting`, `rendering` with the number of variants, then `publishing`. It comes at most four ' +
  'times a second, never after the final state, has no id, and is not repeated: a client must not depend on it.'
/** Markdown. What `GET /events?users=all` sends. */
const usersDescription =
  'With `users=all`, the stream has the changes of all users of the tenant, for keys with the scope `tenant`; `user` names ' +
  'the user, unless it was erased. It has no snapshot and no `progress`: the first event is `opened`, and `missed` tells ' +
  'that changes may have been missed, so that the client should list what it needs.'
const progressEvent = `event: progress\ndata: ${JSON.stringify(sampleProgress)}\n\n`
/** Markdown. What both ways to send a file say about `Idempotency-Key`. */
export const idempotencyDescription =
  'An `Idempotency-Key` belongs to one upload for 24 hours. If a request is sent again because its response was lost, ' +
  'it continues with the same upload, also if the instance died. While the first request runs, the response is 409 ' +
  '`idempotency_key_in_use` with `Retry-After`. If the upload was erased meanwhile, it is 404.'
/** Limits of an upload token. */
export const tokenErrors = ['token_limit', 'token_used_up'] as const
export const quotaErrors = ['quota_exceeded', 'quota_exhausted_today', 'too_many_unfinished_uploads'] as const
const varies = { vary: '`Accept, Origin`' }
const signedUrl =
  'https://bucket.s3.eu-central-1.amazonaws.com/originals/u-1/0198?X-Amz-Expires=900&X-Amz-Signature=9f86d081'
const downloadResponses = {
  200: {
    description: 'To a client that prefers JSON to the file: the signed URL.',
    headers: varies,
    example: { url: signedUrl, expiresAt: '2026-11-23T09:45:00.000Z' },
  },
  302: {
    description:
      'A redirect to a signed URL of S3 or CloudFront, valid for 10 to 15 minutes. One of S3 expires earlier if the credentials of ' +
      'the server end: `X-Amz-Expires` in the URL says when.',
    headers: { location: 'the signed URL', ...varies },
  },
}
/** Markdown. What both downloads say about their two forms. */
const downloadForms =
  'The response is a redirect, which browsers, curl and most libraries follow. Some clients send their `Authorization` ' +
  'along, and S3 refuses a request that is signed twice. With `Accept: application/json`, the response is JSON with the same ' +
  'URL instead: fetch it without `Authorization`. The redirect wins if the header wants the file at least as much ' +
  '(`*/*`, `application/json, */*`). `HEAD` gets the same; its redirect can be followed with `HEAD` only.'

export const uploadOperations: Operations = {
  'POST /uploads': {
    operationId: 'announceUpload',
    summary: 'Announce a file and get its transport, or import it from a URL',
    description:
      'Up to 8 MiB, the transport is one presigned form or, if the request asks for it, one presigned PUT; above, ' +
      'presigned part URLs. The client sends the bytes directly to S3, which refuses any size, type or name other than ' +
      'the announced one. A form can be sent again while it is valid. A PUT stores a file once.\n\n' +
      'With `sourceUrl`, a worker downloads the file from a public http or https URL. Name, type and size are ' +
      "taken from the source's response if they are not given. Until then, the size is 0. No response contains the " +
      'URL. The upload ends `rejected` if the fault is in the source, and `failed` if the source was not reachable ' +
      'in several attempts.\n\n' +
      `${idempotencyDescription} If S3 has the file by then, the transport is \`none\` and \`state\` tells how far the ` +
      'upload is.',
    tag: 'uploads',
    security: securityRequirements.writeOrNewSession,
    parameters: idempotencyKey,
    requestHeaders: {
      traceparent: {
        description: 'W3C Trace Context, passed on to the workers',
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
    responses: {
      201: {
        description: 'The upload is announced and awaits its bytes.',
        example: formUpload,
        otherExamples: { put: putUpload, import: importedUpload, repeated: arrivedUpload },
        headers: { location: 'path of the upload', 'set-cookie': 'a new session, if the request had none' },
      },
    },
    errors: [
      'preset_unknown',
      'upload_too_large',
      ...quotaErrors,
      ...tokenErrors,
      ...idempotencyErrors,
      'too_many_sessions',
      'storage_busy',
      'dependency_unavailable',
    ],
  },
  'GET /uploads': {
    operationId: 'listUploads',
    summary: 'List or find your uploads, newest first',
    description:
      'The list is empty for anonymous requests. The next page begins after `nextCursor`. Only a page without ' +
      '`nextCursor` is the last one: a page can be shorter than `limit`, or empty, although older uploads follow. While the list is read again after a ' +
      'loss of Redis, an upload can be on two pages.\n\n' +
      'With `user`, the uploads of this user of the tenant, for keys with the scope `tenant`. A user without uploads has an ' +
      'empty list.\n\n' +
      'All conditions must be true of an upload. `state` may be repeated, or name several states with commas. A field of ' +
      'the metadata is compared with `metadata[name]=value`. A page looks at a few hundred uploads: if few of them match, ' +
      'it is short and has `nextCursor`. `from` and `to` cost nothing, because ids are ordered by time.',
    tag: 'uploads',
    security: [{}, ...securityRequirements.read],
    parameters: {
      user: 'auth0|5f7c8ec7',
      state: ['ready', 'failed'],
      prefix: 'harbour',
      metadata: { album: 'summer' },
      from: '2026-11-01',
      to: '2026-12-01T00:00:00Z',
      order: 'newest',
      cursor: sampleId,
      limit: 50,
    },
    responses: {
      200: { description: 'One page of uploads.', example: { uploads: [readyUpload], nextCursor: sampleId } },
    },
    errors: ['dependency_unavailable'],
  },
  'GET /uploads/:id': {
    ...owned,
    operationId: 'getUpload',
    summary: 'Read an upload',
    description: "Another owner's upload is not found, as if it did not exist.",
    security: securityRequirements.read,
    responses: { 200: { description: 'The upload.', example: readyUpload } },
    errors: ['upload_not_found', 'dependency_unavailable'],
  },
  'GET /uploads/:id/evidence': {
    ...owned,
    operationId: 'getUploadEvidence',
    summary: 'Read how the outcome of an upload came about',
    description:
      'The states of the upload with their times and, once it has an outcome, what was checked and how long each step took. ' +
      'While it is processed again, `processing` is that of the last outcome.',
    security: securityRequirements.read,
    responses: { 200: { description: 'The evidence.', example: sampleEvidence } },
    errors: ['upload_not_found', 'dependency_unavailable'],
  },
  'GET /presets': {
    operationId: 'listPresets',
    summary: 'List the presets that uploads can name',
    description: 'The presets of the deployment (`PRESETS`), and `default`.',
    tag: 'uploads',
    security: [{}, ...securityRequirements.read],
    responses: {
      200: {
        description: 'The presets of this deployment.',
        example: { presets: [{ name: 'default', variants: ['thumbnail', 'small', 'large'] }] },
      },
    },
    errors: [],
  },
  'PATCH /uploads/:id': {
    ...owned,
    operationId: 'editUpload',
    summary: 'Change the filename and the metadata of an upload',
    description:
      'In any state, also while the file is being sent or processed. Fields of the metadata that the request does not name ' +
      'stay, and `null` deletes one (JSON Merge Patch, RFC 7396). Requests at the same time are merged. Filename and metadata ' +
      'together have the same limit as when a file is announced. Downloads get the new filename. Variants stay as they are: ' +
      'after a change of `metadata.focus`, send `POST /uploads/{id}/reprocess`. What an upload token set cannot be changed ' +
      'with it.',
    security: securityRequirements.write,
    body: { filename: 'harbour at night.jpg', metadata: { album: 'winter', draft: null } },
    responses: {
      200: {
        description: 'The upload.',
        example: { ...readyUpload, filename: 'harbour at night.jpg', metadata: { album: 'winter' } },
      },
    },
    errors: ['upload_not_found', 'token_limit', 'conflict', 'dependency_unavailable'],
  },
  'DELETE /uploads/:id': {
    ...owned,
    operationId: 'eraseUpload',
    summary: 'Erase an upload and all its variants',
    description:
      'Erases all versions of all objects, and the record. The receipt lists the erased objects. It is returned ' +
      'after a listing of the bucket found nothing left. A repeated request erases objects that were written ' +
      'later, and returns a new receipt.',
    security: securityRequirements.write,
    responses: { 200: { description: 'The receipt.', example: receipt } },
    errors: ['upload_not_found', 'conflict', 'dependency_unavailable'],
  },
  'POST /uploads/:id/parts': {
    ...owned,
    operationId: 'signParts',
    summary: 'Sign URLs of parts',
    description:
      'A URL is valid for an hour at most, and for a shorter time if the credentials of the server end: `X-Amz-Expires` in ' +
      'the URL says when. Sign a part again when S3 refuses its URL. A part may be signed again. A part that is sent twice counts once.',
    security: securityRequirements.write,
    body: { partNumbers: [1, 2] },
    responses: { 200: { description: 'The URLs of the parts.', example: { parts: partUrls } } },
    errors: ['upload_not_found', 'upload_closed', 'upload_not_multipart', 'dependency_unavailable'],
  },
  'GET /uploads/:id/parts': {
    ...owned,
    operationId: 'listParts',
    summary: 'List the parts that S3 has received',
    description:
      'A client resumes by sending the missing parts: after a reload, on another device or days later.',
    security: securityRequirements.read,
    responses: {
      200: {
        description: 'The received parts in order, and the size and number of all parts.',
        example: { parts: sentParts, partSize: 8_388_608, partCount: 3 },
      },
    },
    errors: ['upload_not_found', 'upload_closed', 'upload_not_multipart', 'dependency_unavailable'],
  },
  'POST /uploads/:id/complete': {
    ...owned,
    operationId: 'completeUpload',
    summary: 'Complete the file from its parts',
    description: 'The request is idempotent: a client that lost the response may repeat it.',
    security: securityRequirements.write,
    body: { parts: sentParts.map(({ partNumber, etag }) => ({ partNumber, etag })) },
    responses: {
      202: { description: 'The file is stored in S3 and its processing is queued.', example: receivedUpload },
    },
    errors: [
      'upload_not_found',
      'upload_not_multipart',
      'parts_mismatch',
      'conflict',
      'dependency_unavailable',
    ],
  },
  'POST /uploads/:id/reprocess': {
    ...owned,
    operationId: 'reprocessUpload',
    summary: 'Process a finished upload again',
    description:
      'A `failed` upload is processed again. A `ready` or `rejected` one is processed again if `preset` is another ' +
      'preset, or if its preset changed since; otherwise it keeps its outcome. The upload is `received` again, and ' +
      'nothing of it is served until it is finished. The body is optional. The request is idempotent: repeated ' +
      'while the same preset is being processed, it returns the upload. New uploads are processed first.',
    security: securityRequirements.write,
    body: { preset: 'default' },
    bodyOptional: true,
    responses: {
      202: { description: 'The processing of the file is queued.', example: receivedUpload },
    },
    errors: [
      'preset_unknown',
      'token_limit',
      'upload_not_found',
      'upload_not_finished',
      'original_missing',
      'conflict',
      'dependency_unavailable',
    ],
  },
  'POST /uploads/reprocess': {
    operationId: 'reprocessUploads',
    summary: 'Process many uploads again',
    description:
      'Either those with these ids, or one page of those that match a filter (as in `GET /uploads`): the next page begins ' +
      'after `nextCursor`. `accepted`: the upload failed, or its preset or `metadata.focus` changed since, and it has a job. ' +
      '`up_to_date`: nothing would change. `refused`: `error` tells why. Unlike when a single upload is reprocessed, its state ' +
      'stays, and it is served as it is until a worker replaces the result. New uploads are processed first. A repeated ' +
      'request adds no second job. With `overloaded`, too many uploads wait: repeat the request a minute later.',
    tag: 'uploads',
    security: securityRequirements.write,
    body: { filter: { state: ['failed'], from: '2026-11-01' }, limit: 100 },
    otherBodies: { ids: { ids: [sampleId] } },
    responses: {
      200: {
        description: 'What happened to each upload.',
        example: {
          results: [
            { id: sampleId, outcome: 'accepted' },
            {
              id: sampleId.replace(/.$/, '8'),
              outcome: 'refused',
              error: { code: 'original_missing', message: 'S3 has no bytes of this upload.' },
            },
          ],
          nextCursor: sampleId,
        },
      },
    },
    errors: ['rate_limited', 'dependency_unavailable'],
  },
  'POST /uploads/delete': {
    operationId: 'eraseUploads',
    summary: 'Erase many uploads',
    description:
      'Erases each upload as `DELETE /uploads/{id}` does. `deleted`: nothing of it is left. `not_found`: you have no such ' +
      'upload. `failed`: the erasure began and will be finished, or did not begin; `error` tells why, and the request may be ' +
      'repeated.',
    tag: 'uploads',
    security: securityRequirements.write,
    body: { ids: [sampleId, sampleId.replace(/.$/, '8')] },
    responses: {
      200: {
        description: 'What happened to each upload.',
        example: {
          results: [
            { id: sampleId, outcome: 'deleted' },
            { id: sampleId.replace(/.$/, '8'), outcome: 'not_found' },
          ],
        },
      },
    },
    errors: ['rate_limited', 'dependency_unavailable'],
  },
  'GET /uploads/:id/original': {
    ...download,
    operationId: 'getOriginal',
    summary: 'Download the original file',
    description: `The bytes that the client sent, after they passed inspection.\n\n${downloadForms}`,
    responses: downloadResponses,
    errors: ['upload_not_found', 'upload_not_ready', 'dependency_unavailable'],
  },
  'GET /uploads/:id/variants/:name': {
    ...download,
    operationId: 'getVariant',
    summary: 'Download a variant',
    description: `The variant is identified by its name in the preset.\n\n${downloadForms}`,
    parameters: { id: sampleId, name: 'thumbnail' },
    responses: downloadResponses,
    errors: ['upload_not_found', 'upload_not_ready', 'variant_not_found', 'dependency_unavailable'],
  },
  'GET /events': {
    operationId: 'watchUploads',
    summary: 'Follow all of your uploads',
    description:
      'The first event is `snapshot`, the first page of `GET /uploads`. Then `upload` follows for each change and ' +
      '`erased` for each erasure. With `Last-Event-ID`, the missed changes replace the snapshot if Redis still ' +
      'has all of them. The stream ends with the session that opened it, and after an hour at the latest: an ' +
      `EventSource then continues after its last event.\n\n${progressDescription}\n\n${usersDescription}`,
    tag: 'events',
    security: securityRequirements.read,
    parameters: { users: 'all', 'last-event-id': '42' },
    responses: {
      200: {
        description: 'The event stream.',
        content: {
          'text/event-stream': {
            schema: { type: 'string' },
            example: `retry: 2000\n\n${progressEvent}id: 43\nevent: upload\ndata: ${JSON.stringify(readyUpload)}\n\n`,
          },
        },
      },
    },
    errors: ['too_many_streams', 'dependency_unavailable'],
  },
  'GET /uploads/:id/events': {
    ...owned,
    tag: 'events',
    operationId: 'watchUpload',
    summary: 'Follow an upload until it is finished',
    description:
      'The data of an event `upload` is the upload as JSON. The first event is the current state, then each ' +
      'change follows. The stream ends when the upload is finished, with the session that opened it, and after an ' +
      'hour at the latest. With `Last-Event-ID`, a state that the client has already received is not repeated.\n\n' +
      progressDescription,
    security: securityRequirements.read,
    parameters: { id: sampleId, 'last-event-id': '1795512603000-4' },
    responses: {
      200: {
        description: 'The event stream.',
        content: {
          'text/event-stream': {
            schema: { type: 'string' },
            example: `retry: 2000\n\n${progressEvent}id: 1795512603000-4\nevent: upload\ndata: ${JSON.stringify(readyUpload)}\n\n`,
          },
        },
      },
      204: { description: 'The client has received the last event: an EventSource does not reconnect.' },
    },
    errors: ['upload_not_found', 'too_many_streams', 'dependency_unavailable'],
  },
}
