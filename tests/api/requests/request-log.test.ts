import { createIdentityProvider } from '@millrace/api/credentials/identity-provider.ts'
import { jwtVariables, readJwtSettings } from '@millrace/api/credentials/jwt-settings.ts'
import { registerErrorHandler } from '@millrace/api/requests/problem.ts'
import { createRequestLog, RequestLogController } from '@millrace/api/requests/request-log.ts'
import { openEnvironment, throwProblem } from '@millrace/shared/service/environment.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import fastify from 'fastify'
import Type from 'typebox'
import * as assert from 'uvu/assert'
import { signWithSecret } from '../../support/fake-identity-provider.ts'
import { suite } from '../../support/suite.ts'

const test = suite('request log')

/** Returns the log lines of one request at a log level. */
async function linesOf(level: string): Promise<Record<string, unknown>[]> {
  const lines: string[] = []
  const log = createLog({ level, instance: 'one' }, { write: (line: string) => void lines.push(line) })
  const app = fastify({ loggerInstance: createRequestLog(log), logController: new RequestLogController() })
  app.get('/uploads/:id', { config: { operation: 'getUpload' } }, async (request) => {
    request.log.warn({ seen: true }, 'first')
    request.log.child({ part: 1 }).error('second')
    return 'response'
  })
  await app.inject('/uploads/0193a6c8-0000-7000-8000-000000000000?token=secret')
  await app.inject('/other')
  await app.close()
  return lines.map((line) => JSON.parse(line)).filter((line) => 'reqId' in line)
}

test('every log line of a request has its id, and one line reports the request', async () => {
  const lines = (await linesOf('info')).filter(({ operation }) => operation === 'getUpload')
  assert.equal(
    lines.map(({ msg }) => msg),
    ['first', 'second', 'request completed'],
  )
  assert.is(new Set(lines.map(({ reqId }) => reqId)).size, 1)
  assert.is(lines[1]?.['part'], 1)
  const { route, uploadId } = Object(lines[2]?.['req'])
  assert.equal(
    { route, uploadId },
    { route: '/uploads/:id', uploadId: '0193a6c8-0000-7000-8000-000000000000' },
  )
  assert.is(Object(lines[2]?.['res']).statusCode, 200)
  assert.not.match(JSON.stringify(lines), 'secret')
})

test('each line of a request names the operation of its route', async () => {
  assert.equal(
    (await linesOf('debug')).map(({ msg, operation }) => [msg, operation]),
    [
      ['incoming request', 'getUpload'],
      ['first', 'getUpload'],
      ['second', 'getUpload'],
      ['request completed', 'getUpload'],
      ['incoming request', 'noRoute'],
      ['Route GET:/other not found', 'noRoute'],
      ['request completed', 'noRoute'],
    ],
  )
})

test('the log level decides which lines of a request are written', async () => {
  assert.is((await linesOf('debug'))[0]?.['msg'], 'incoming request')
  assert.equal(
    (await linesOf('error')).map(({ msg }) => msg),
    ['second'],
  )
})

test('the log says why a JWT was refused, and its bearer does not learn it', async () => {
  const lines: string[] = []
  const log = createLog(
    { level: 'info', instance: 'one' },
    { write: (line: string) => void lines.push(line) },
  )
  const app = fastify({ loggerInstance: createRequestLog(log), logController: new RequestLogController() })
  registerErrorHandler(app)
  const secret = 'the secret of an identity provider in a test'
  const variables = { JWT_SECRET: secret, JWT_ISSUER: 'https://id.example/', JWT_AUDIENCE: 'millrace' }
  const { text } = openEnvironment(Type.Object(jwtVariables), { ...variables, JWT_TENANT: 'acme' })
  const settings = readJwtSettings(text, throwProblem)
  const provider = settings && createIdentityProvider(settings, { log })
  const claims = { iss: 'https://id.example/', aud: 'millrace', sub: 'ada', exp: 4_000_000_000 }
  const tokens = [
    signWithSecret(secret, { ...claims, aud: 's3cret-audience' }),
    signWithSecret(secret, { ...claims, sub: 7.5 }),
    signWithSecret('another secret', claims),
  ]
  app.get('/:number', async (request) => provider?.find(tokens[Number(Object(request.params).number)] ?? ''))
  const bodies = new Set<string>()
  for (const number of tokens.keys()) {
    const { code, detail } = (await app.inject(`/${number}`)).json()
    bodies.add(`${code} ${detail}`)
  }
  await app.close()
  assert.equal([...bodies], ['token_invalid The token is not valid.'])
  const refused = lines.map((line) => JSON.parse(line)).filter(({ msg }) => msg === 'request refused')
  assert.equal(
    refused.map(({ why, claim }) => [why, claim]),
    [
      ['ERR_JWT_CLAIM_VALIDATION_FAILED', 'aud'],
      ['ERR_JWT_CLAIM_VALIDATION_FAILED', 'user'],
      ['ERR_JWS_SIGNATURE_VERIFICATION_FAILED', undefined],
    ],
  )
  assert.not.match(lines.join(''), 's3cret')
})

test.run()
