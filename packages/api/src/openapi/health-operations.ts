import { type Operations, securityRequirements } from './operation.ts'

export const healthOperations: Operations = {
  'GET /health': {
    operationId: 'getHealth',
    summary: 'Check that this instance is running',
    description: 'Checks no dependency, so a failing Redis does not restart instances.',
    tag: 'operation',
    security: securityRequirements.none,
    responses: {
      200: {
        description: 'The instance is running.',
        example: { status: 'ok', instance: 'api-1', version: '0.1.0', uptime: 86400 },
      },
    },
    errors: [],
  },
  'GET /ready': {
    operationId: 'getReadiness',
    summary: 'Check that this instance can serve requests',
    description: 'Writes a key to Redis, and sends a request to S3 and to SQS.',
    tag: 'operation',
    security: securityRequirements.none,
    responses: {
      200: {
        description: 'The instance is ready.',
        example: { status: 'ready', checks: { redis: 'ok', s3: 'ok', sqs: 'ok' } },
      },
      503: {
        description:
          'A dependency does not respond, Redis accepts no writes, or the instance is shutting down.',
        example: { status: 'unready', checks: { redis: 'failed', s3: 'ok', sqs: 'ok' } },
      },
    },
    errors: [],
  },
}
