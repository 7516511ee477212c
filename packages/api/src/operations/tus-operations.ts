import { type Operation, type Operations, securityRequirements } from './operation.ts'
import { sampleId } from './sample-upload.ts'

const version = { description: 'the version of tus', example: '1.0.0', required: true } as const
const offsetHeader = { 'upload-offset': 'the number of bytes that the upload has' }
const responseHeaders = { 'tus-resumable': '1.0.0' }
const checksum = {
  description: 'optional: algorithm and digest of this body, in base64: `sha1`, `sha256` or `md5`',
  example: 'sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=',
}
const chunk = {
  'application/offset+octet-stream': {
    schema: { type: 'string', description: 'the next bytes of the file' },
    example: '…the bytes…',
  },
}
const sendingErrors = [
  'upload_too_large',
  'token_limit',
  'token_used_up',
  'too_many_uploads',
  'request_timeout',
  'unsupported_media_type',
  'upload_locked',
  'upload_offset_mismatch',
  'chunk_checksum_mismatch',
  'quota_exceeded',
  'quota_exhausted_today',
  'storage_busy',
  'conflict',
] as const
const common = ['tus_version_unsupported', 'dependency_unavailable'] as const
const found = [...common, 'upload_not_found', 'upload_expired', 'upload_locked'] as const

const extensions: Omit<Operation, 'operationId'> = {
  summary: 'Read which extensions of tus there are',
  description: 'The response is the same for all uploads and for all clients.',
  tag: 'tus',
  security: securityRequirements.none,
  responses: {
    204: {
      description: 'Version, extensions and limits.',
      headers: {
        ...responseHeaders,
        'tus-version': '1.0.0',
        'tus-extension': 'names of extensions, separated by commas',
        'tus-max-size': 'bytes',
        'tus-checksum-algorithm': 'names, separated by commas',
      },
    },
  },
  errors: ['invalid_request', 'dependency_unavailable', 'request_timeout'],
}

const upload = {
  tag: 'tus',
  security: securityRequirements.write,
  parameters: { id: sampleId },
} as const

/** tus 1.0.0 (https://tus.io/protocols/resumable-upload). Each operation's errors are problems with the statuses of tus. */
export const tusOperations: Operations = {
  'OPTIONS /tus': { ...extensions, operationId: 'getTusExtensions' },
  'OPTIONS /tus/:id': {
    ...extensions,
    operationId: 'getTusExtensionsOfUpload',
    parameters: { id: sampleId },
  },
  'POST /tus': {
    operationId: 'createTusUpload',
    summary: 'Create an upload by tus',
    description:
      'Clients of tus, such as tus-js-client and Uppy, send this themselves: give them `/tus/` as their endpoint. With ' +
      '`Content-Type: application/offset+octet-stream`, the body is the first bytes of the file.',
    tag: 'tus',
    security: securityRequirements.writeOrNewSession,
    exampleParameters: ['upload-length'],
    requestHeaders: {
      'tus-resumable': version,
      'upload-length': {
        description: 'the size of the file, in bytes; required without `upload-defer-length`',
        example: '11',
      },
      'upload-defer-length': { description: '`1`: a later `PATCH` tells the size', example: '1' },
      'upload-metadata': {
        description:
          'names and values in base64, separated by commas. `filename`, `filetype`, `preset` and `sha256` have the meaning of ' +
          'the announcement; others are metadata of the upload',
        example: 'filename aGFyYm91ci50eHQ=,filetype dGV4dC9wbGFpbg==',
      },
      'upload-checksum': checksum,
    },
    bodyOptional: true,
    bodyContent: chunk,
    responses: {
      201: {
        description: 'The upload is created, and the bytes of the body are stored.',
        headers: {
          ...responseHeaders,
          ...offsetHeader,
          location: 'path of the upload for all further requests',
          'upload-expires': 'when the upload ends if its bytes have not arrived',
          'set-cookie': 'a new session, if the request had none',
        },
      },
    },
    errors: [
      ...common,
      ...sendingErrors,
      'preset_unknown',
      'too_many_unfinished_uploads',
      'too_many_sessions',
      'upload_expired',
      'upload_not_found',
    ],
  },
  'HEAD /tus/:id': {
    ...upload,
    operationId: 'getTusOffset',
    summary: 'Read how many bytes of a tus upload have arrived',
    description:
      'A client resumes with `PATCH` at this offset. Needs the scope `uploads:write`, since it is a part of sending.',
    requestHeaders: { 'tus-resumable': version },
    responses: {
      200: {
        description: 'The upload.',
        headers: {
          ...responseHeaders,
          ...offsetHeader,
          'upload-length': 'the size of the file, in bytes, once it is known',
          'upload-defer-length': '`1` while the size is not known',
          'upload-metadata': 'as the client sent it',
          'upload-expires': 'when the upload ends if its bytes have not arrived',
        },
      },
    },
    errors: [...found, 'request_timeout', 'conflict'],
  },
  'PATCH /tus/:id': {
    ...upload,
    operationId: 'sendTusChunk',
    summary: 'Send the next bytes of a tus upload',
    description:
      'Stores what arrives, also if the connection breaks. With `Upload-Checksum`, the bytes count only if they match. The ' +
      'file is processed after its last byte.',
    requestHeaders: {
      'tus-resumable': version,
      'upload-offset': { description: 'the offset that the upload has', example: '0', required: true },
      'upload-length': {
        description: 'the size of the file, in bytes, if the upload was created without it',
        example: '11',
      },
      'upload-checksum': checksum,
    },
    bodyContent: chunk,
    responses: {
      204: { description: 'The bytes are stored.', headers: { ...responseHeaders, ...offsetHeader } },
    },
    errors: [...found, ...sendingErrors],
  },
  'DELETE /tus/:id': {
    ...upload,
    operationId: 'eraseTusUpload',
    summary: 'Erase a tus upload',
    description: 'Erases all that was sent, as `DELETE /uploads/{id}` does.',
    requestHeaders: { 'tus-resumable': version },
    responses: { 204: { description: 'The upload is erased.', headers: responseHeaders } },
    errors: [...found, 'request_timeout', 'conflict'],
  },
  'POST /tus/:id': {
    ...upload,
    operationId: 'overrideTusMethod',
    summary: 'Send a request of tus as a POST',
    description: 'For networks that allow only GET and POST. The response is that of the named method.',
    requestHeaders: {
      'tus-resumable': version,
      'x-http-method-override': {
        description: '`HEAD`, `PATCH` or `DELETE`',
        example: 'HEAD',
        required: true,
      },
    },
    bodyOptional: true,
    bodyContent: chunk,
    responses: {
      200: { description: 'As for `HEAD`.', headers: { ...responseHeaders, ...offsetHeader } },
      204: { description: 'As for `PATCH` and `DELETE`.', headers: responseHeaders },
    },
    errors: [...found, ...sendingErrors],
  },
}
