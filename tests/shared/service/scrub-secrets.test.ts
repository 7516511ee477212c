import { createLog } from '@millrace/shared/service/log.ts'
import { loggableError } from '@millrace/shared/service/loggable-error.ts'
import { scrubSecrets } from '@millrace/shared/service/scrub-secrets.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'

const test = suite('secrets in the log')

/** Characters of keys, tokens and signatures, 12 at least, so that none is a word of the text around them. */
const anySecret = fc.stringMatching(/^[A-Za-z0-9]{12,40}$/)

/** Texts of libraries and of ours that contain a secret. */
const forms: readonly ((secret: string) => string)[] = [
  (secret) => `connect ECONNREFUSED redis://default:${secret}@redis.example:6379`,
  (secret) => `rediss://${secret}@redis.example`,
  (secret) =>
    `GET https://b.s3.amazonaws.com/originals/a/b?X-Amz-Credential=AKIA&X-Amz-Signature=${secret} failed`,
  (secret) => `https://cdn.example/variants/a?Policy=${secret}&Key-Pair-Id=K1`,
  (secret) => `X-Amz-Signature=${secret}&X-Amz-Expires=60`,
  (secret) => `X-Amz-Security-Token: ${secret}`,
  (secret) => `{"X-Amz-Credential":"${secret}"}`,
  (secret) => `{\\"x-amz-signature\\":\\"${secret}\\"}`,
  (secret) => `authorization: AWS4-HMAC-SHA256 Credential=AKIA/20261125, Signature=${secret}`,
  (secret) => `the header was Bearer ${secret}`,
  (secret) => `Basic ${secret}=`,
  (secret) => `cookie: millrace=${secret}; other=1`,
  (secret) => `{"set-cookie":"__Host-millrace=${secret}; Path=/"}`,
  (secret) => `proxy-authorization=${secret}`,
  (secret) => `x-api-key: ${secret}`,
  (secret) => `x-amz-meta-filename: ${secret}.jpg`,
  (secret) => `Unexpected token 'x', "${secret}" is not valid JSON`,
  (secret) => `Unexpected token 'x', ..."name":"${secret}"... is not valid JSON`,
]

test('no form of a secret stays in a text, whatever is around it', async () => {
  await checkProperty(
    fc.property(
      anySecret,
      fc.constantFrom(...forms),
      fc.constantFrom('', 'Error: ', 'upload failed\n    at ', '{"msg":"'),
      fc.constantFrom('', '\nnext line', '","level":30}'),
      (secret, form, before, after) => {
        const scrubbed = scrubSecrets(`${before}${form(secret)}${after}`)
        assert.not.ok(scrubbed.includes(secret), scrubbed)
        assert.ok(scrubbed.startsWith(before))
        assert.ok(scrubbed.includes('[scrubbed]'), scrubbed)
      },
    ),
    { runs: 400 },
  )
})

test('a line of JSON stays one, and keeps what is no secret', async () => {
  const line = (msg: string) => JSON.stringify({ level: 30, msg, event: 'kept', upload: 'an-id' })
  await checkProperty(
    fc.property(anySecret, fc.constantFrom(...forms), (secret, form) => {
      const parsed: unknown = JSON.parse(scrubSecrets(line(form(secret))))
      assert.ok(parsed instanceof Object && 'event' in parsed && 'upload' in parsed)
      assert.equal([parsed.event, parsed.upload], ['kept', 'an-id'])
    }),
    { runs: 200 },
  )
  for (const plain of [
    'GET https://api.example/uploads/an-id failed with 503',
    'The bearer of this has no cookie',
    'unexpected end',
  ]) {
    assert.is(scrubSecrets(plain), plain)
  }
})

test('the log removes properties with secrets, one level deep as well, and scrubs messages and errors', () => {
  const lines: string[] = []
  const log = createLog(
    { level: 'trace', instance: 'one', traceId: () => 'a-trace' },
    { write: (line: string) => void lines.push(line) },
  )
  const names = [
    ...['headers', 'rawHeaders', 'cookie', 'cookies', 'authorization', 'body', 'fields', 'filename'],
    ...['intent', 'metadata', 'source', 'sourceUrl'],
  ]
  const secret = 'a1b2c3d4e5f6g7'
  for (const name of names) log.info({ [name]: secret, nested: { [name]: secret, id: 'kept' } }, 'a line')
  const thrown = Object.assign(new Error(`no answer of https://b.example/x?X-Amz-Signature=${secret}`), {
    $response: { headers: { authorization: secret } },
    command: { args: [secret] },
    $metadata: { httpStatusCode: 503, requestId: 'R1', extendedRequestId: secret },
    code: 'ECONNRESET',
    cause: new Error(`redis://u:${secret}@host`),
  })
  for (const name of ['err', 'error', 'reason']) log.error({ [name]: thrown }, `failed: Bearer ${secret}`)
  assert.not.ok(
    lines.some((line) => line.includes(secret)),
    lines.join(''),
  )
  assert.is(lines.length, names.length + 3)
  const first: unknown = JSON.parse(lines[0] ?? '')
  assert.ok(first instanceof Object && 'nested' in first && 'traceId' in first && 'instance' in first)
  assert.equal([first.nested, first.traceId, first.instance], [{ id: 'kept' }, 'a-trace', 'one'])
  const { stack: _, cause, ...fields } = loggableError(thrown)
  assert.equal(fields, {
    type: 'Error',
    message: 'no answer of https://b.example/x?[scrubbed]',
    code: 'ECONNRESET',
    httpStatus: 503,
    awsRequestId: 'R1',
  })
  assert.is(cause?.message, 'redis://[scrubbed]@host')
})

test('a circle of causes and a crowd of errors are cut', () => {
  const circle: Error = new Error('circle')
  circle.cause = circle
  let depth = 0
  for (let cause = loggableError(circle).cause; cause; cause = cause.cause) depth += 1
  assert.is(depth, 5)
  const many = new AggregateError(Array.from({ length: 9 }, (_, index) => new Error(String(index))))
  assert.equal(
    loggableError(many).errors?.map(({ message }) => message),
    ['0', '1', '2', '3'],
  )
  assert.equal(loggableError({ password: 'hunter2' }), {
    type: 'object',
    message: 'A value was thrown that is not an Error.',
  })
})

test.run()
