import { type DocumentedResponse, type Operations, securityRequirements } from './operation.ts'
import { sampleId } from './sample-upload.ts'

const text = { type: 'string' }
const key = `originals/s-0a1b2c3d4e5f60718293a4b5c6d7e8f9/${sampleId}`
const etag = '"9b2cf535f27731c974343645a3985328"'
const partUrl = `https://bucket.s3.eu-central-1.amazonaws.com/${key}?partNumber=1&X-Amz-Signature=9f86d081`
const admissionErrors = [
  'preset_unknown',
  'upload_too_large',
  'quota_exceeded',
  'quota_exhausted_today',
  'too_many_unfinished_uploads',
  'token_limit',
  'token_used_up',
  'too_many_sessions',
  'storage_busy',
  'upload_not_found',
  'conflict',
  'dependency_unavailable',
] as const
const openErrors = [
  'upload_not_found',
  'upload_closed',
  'upload_not_multipart',
  'dependency_unavailable',
] as const

/** Markdown. */
const protocol =
  "A part of the protocol of Uppy's Companion, which `@uppy/aws-s3` sends itself: see docs/uppy.md. Other clients use `/uploads`."

const opened = { tag: 'uppy', parameters: { id: sampleId, key } } as const

function objectOf(
  properties: Record<string, object>,
  example: unknown,
  description: string,
): DocumentedResponse {
  const schema = { type: 'object', required: Object.keys(properties), properties }
  return { description, content: { 'application/json': { schema, example } } }
}

/** The routes of `@uppy/aws-s3` (docs/uppy.md). */
export const uppyOperations: Operations = {
  'GET /uppy/s3/params': {
    operationId: 'signUppyForm',
    summary: 'Announce a file of Uppy and sign its form',
    description: `${protocol} Creates an upload, although it is a GET: it needs the scope \`uploads:write\`, and has no HEAD.`,
    tag: 'uppy',
    security: securityRequirements.writeOrNewSession,
    requestQuery: {
      filename: { required: true, schema: text, example: 'harbour.jpg' },
      type: { required: false, schema: text, example: 'image/jpeg' },
      metadata: {
        required: true,
        style: 'deepObject',
        explode: true,
        description:
          "the file's `meta`: `size` in bytes, `preset`, `sha256`, and metadata of the upload, as `metadata[size]=11`",
        schema: {
          type: 'object',
          required: ['size'],
          properties: { size: text },
          additionalProperties: text,
        },
        example: { size: '4182311', album: 'summer' },
      },
    },
    responses: {
      200: objectOf(
        { method: { enum: ['POST'] }, url: text, fields: { type: 'object', additionalProperties: text } },
        {
          method: 'POST',
          url: 'https://bucket.s3.eu-central-1.amazonaws.com/',
          fields: { key, 'Content-Type': 'image/jpeg', Policy: 'eyJleHBpcmF0aW9uIjoi' },
        },
        'The form that the browser sends to S3.',
      ),
    },
    errors: admissionErrors,
  },
  'POST /uppy/s3/multipart': {
    operationId: 'startUppyUpload',
    summary: 'Announce a file of Uppy that is sent in parts',
    description: protocol,
    tag: 'uppy',
    security: securityRequirements.writeOrNewSession,
    body: {
      filename: 'harbour.jpg',
      type: 'image/jpeg',
      metadata: { name: 'harbour.jpg', type: 'image/jpeg', relativePath: null, size: 11 },
    },
    responses: {
      200: objectOf(
        { uploadId: text, key: text },
        { uploadId: sampleId, key },
        'The id of the upload and its key, which Uppy sends back in `key`. Only the id is read.',
      ),
    },
    errors: admissionErrors,
  },
  'GET /uppy/s3/multipart/:id': {
    ...opened,
    operationId: 'listUppyParts',
    summary: 'List the parts of a file of Uppy that S3 has received',
    description: protocol,
    security: securityRequirements.read,
    responses: {
      200: {
        description: 'The parts, in order.',
        content: {
          'application/json': {
            schema: {
              type: 'array',
              items: {
                type: 'object',
                required: ['PartNumber', 'ETag', 'Size'],
                properties: { PartNumber: { type: 'integer' }, ETag: text, Size: { type: 'integer' } },
              },
            },
            example: [{ PartNumber: 1, ETag: etag, Size: 8_388_608 }],
          },
        },
      },
    },
    errors: openErrors,
  },
  'GET /uppy/s3/multipart/:id/:partNumber': {
    tag: 'uppy',
    parameters: { id: sampleId, key, partNumber: 1 },
    operationId: 'signUppyPart',
    summary: 'Sign the URL of a part of a file of Uppy',
    description: `${protocol} Needs the scope \`uploads:write\`.`,
    security: securityRequirements.write,
    responses: {
      200: objectOf(
        { url: text },
        { url: partUrl },
        'The URL, valid for an hour at most: see `X-Amz-Expires` in it.',
      ),
    },
    errors: openErrors,
  },
  'POST /uppy/s3/multipart/:id/complete': {
    ...opened,
    operationId: 'completeUppyUpload',
    summary: 'Complete a file of Uppy from its parts',
    description: protocol,
    security: securityRequirements.write,
    body: { parts: [{ PartNumber: 1, ETag: etag }] },
    responses: {
      200: objectOf(
        { location: text, key: text },
        { location: `https://media.example/uploads/${sampleId}`, key },
        'The file is stored in S3 and its processing is queued. `location` is the URL of the upload.',
      ),
    },
    errors: [
      'upload_not_found',
      'upload_not_multipart',
      'parts_mismatch',
      'upload_closed',
      'conflict',
      'dependency_unavailable',
    ],
  },
  'DELETE /uppy/s3/multipart/:id': {
    ...opened,
    operationId: 'eraseUppyUpload',
    summary: 'Erase a file of Uppy that is not complete',
    description: protocol,
    security: securityRequirements.write,
    responses: { 200: objectOf({}, {}, 'The upload is erased.') },
    errors: [...openErrors, 'conflict'],
  },
}
