import { access, type Operations } from './operation.ts'

export const healthOperations: Operations = {
  'GET /health': {
    operationId: 'getHealth',
    summary: 'Whether this instance lives',
    description: 'Touches nothing else, so a sick Redis restarts no instance.',
    tag: 'operation',
    security: access.everyone,
    answers: {
      200: {
        description: 'It lives.',
        example: { status: 'ok', instance: 'api-1', version: '0.1.0', uptime: 86400 },
      },
    },
    errors: [],
  },
  'GET /ready': {
    operationId: 'getReadiness',
    summary: 'Whether this instance should be given work',
    description: 'Checks Redis, S3 and SQS, each by a request that needs the very thing to work.',
    tag: 'operation',
    security: access.everyone,
    answers: {
      200: {
        description: 'It should.',
        example: { status: 'ready', checks: { redis: 'ok', s3: 'ok', sqs: 'ok' } },
      },
      503: {
        description: 'Something it depends on does not answer, or it is shutting down.',
        example: { status: 'unready', checks: { redis: 'failed', s3: 'ok', sqs: 'ok' } },
      },
    },
    errors: [],
  },
}
