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
  'GET /metrics': {
    operationId: 'getMetrics',
    summary: 'Read the metrics of this instance',
    description:
      "In Prometheus' text format (version 0.0.4). Behind a load balancer each response is of another instance, so Prometheus " +
      'should read the port METRICS_PORT of each instance instead. docs/metrics.md describes the families.',
    tag: 'operation',
    security: securityRequirements.admin,
    responses: {
      200: {
        description: 'The metrics of the instance that answers.',
        content: {
          'text/plain': {
            schema: { type: 'string' },
            example:
              '# HELP millrace_http_requests_active Requests that have no complete response yet, event streams included\n' +
              '# TYPE millrace_http_requests_active gauge\nmillrace_http_requests_active 3\n',
          },
        },
      },
    },
    errors: ['cross_site'],
  },
}
