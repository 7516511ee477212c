import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import {
  DeleteObjectCommand,
  GetObjectCommand,
  PutObjectCommand,
  S3ServiceException,
} from '@aws-sdk/client-s3'
import { connectBlockingRedis } from '@millrace/shared/connections/connections.ts'
import { createUploadQueue, uploadQueueName } from '@millrace/shared/jobs/process-upload-job.ts'
import { manifestKey, parseOriginalKey } from '@millrace/shared/ledger/object-keys.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { loggableError } from '@millrace/shared/service/loggable-error.ts'
import { scrubSecrets } from '@millrace/shared/service/scrub-secrets.ts'
import { sessionOwner } from '@millrace/shared/uploads/owner.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createJobHandlers, createProcessor } from '@millrace/worker/jobs/job-handlers.ts'
import { createOldestJob } from '@millrace/worker/jobs/oldest-job.ts'
import { createQueueWorker } from '@millrace/worker/jobs/queue-worker.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { startApiProcess } from '../../support/api-process.ts'
import { createHttpClient } from '../../support/http-client.ts'
import { openConnection } from '../../support/raw-connection.ts'
import { announce, formOf, sendForm } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'

const test = suite('log redaction')
let api: ApiInstances

test.before(async () => {
  api = await startApiInstances()
})
test.after(async () => {
  await api.close()
})

/** Returns a secret that is sent in a given place of a request. */
const secret = (place: string) => `s3cret${place}`
const personalName = 'Scan of Jane Doe 1984'

function findAny(lines: string[], secrets: string[]) {
  return lines.filter((line) => secrets.some((one) => line.includes(one)))
}

/** Sends text unchanged and waits until the server has closed the connection. */
async function sendRaw(port: number, text: string) {
  const socket = connect(port, '127.0.0.1')
  socket.resume().on('error', () => {})
  socket.end(text)
  await once(socket, 'close')
}

test('an API process with log level trace logs no secrets of requests', async () => {
  const environment = { ...api.environment, LOG_LEVEL: 'trace' }
  const redisUrl = new URL(environment.REDIS_URL)
  // A Redis without configured users accepts any password.
  redisUrl.username = 'default'
  redisUrl.password = secret('redis')
  const process = await startApiProcess({ ...environment, REDIS_URL: redisUrl.href })
  const client = createHttpClient(process.url)
  await client.get('/session')
  const headers = {
    authorization: `Bearer ${secret('bearer')}`,
    'idempotency-key': secret('idempotency'),
    'last-event-id': secret('event'),
    'upload-metadata': `filename ${Buffer.from(personalName).toString('base64')}`,
    'x-api-key': secret('apikey'),
    'x-forwarded-for': secret('forwarded'),
    traceparent: secret('trace'),
    referer: `http://localhost/${secret('referer')}`,
    'content-type': `application/${secret('type')}`,
  }
  for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']) {
    for (const path of ['/session', '/uploads', `/uploads/${newUploadId()}/original`, '/upload', '/tus/x']) {
      const query = `?token=${secret('query')}&cursor=${secret('cursor')}&limit=${secret('limit')}`
      await client.request(method, `${path}/${secret('path')}${query}`, { headers })
      await client.request(method, `${path}${query}`, { headers: { ...headers, cookie: secret('cookie') } })
    }
  }
  const badBodies = [
    `{"filename":"${personalName}.jpg","contentType":"image/jpeg","size":"x"}`,
    `{"filename":"${personalName}.jpg", ${secret('json')}`,
    `{"${secret('property')}":1,"preset":"${secret('preset')}"}`,
    `{"__proto__":{"${secret('proto')}":1}}`,
    `{"sourceUrl":"https://files.example/${secret('sourcepath')}?token=${secret('source')}"}`,
    `{"sourceUrl":"https://u:${secret('userinfo')}@files.example/x?token=${secret('source')}"}`,
    `{"sourceUrl":"${secret('nourl')}","filename":7}`,
  ]
  for (const body of badBodies) {
    await client.request('POST', '/uploads', { body, headers: { 'content-type': 'application/json' } })
  }
  await client.get(`/${secret('percent')}%zz`)
  await sendRaw(process.port, `GET /${secret('raw')} HTTP/9.9\r\ncookie: ${secret('rawcookie')}\r\n\r\n`)
  await sendRaw(
    process.port,
    `GET / HTTP/1.1\r\nhost: ${secret('host')}\r\nbad header ${secret('line')}\r\n\r\n`,
  )
  const announced = await announce(client, 9, {
    filename: `${personalName}.jpg`,
    metadata: { note: secret('note') },
  })
  const form = formOf(announced)
  await sendForm(form, new TextEncoder().encode('9 bytes!!'))
  // The log names unreadable data of both, a record and a manifest. It must not quote them.
  const key = (await api.redis.keys(`${api.prefix}:*${announced.id}*`))[0] ?? ''
  assert.is.not(key, '', 'the record is found')
  await api.redis.del(key)
  await api.redis.set(key, `{"filename":"${personalName}"`)
  assert.is((await client.get(`/uploads/${announced.id}`)).status, 200, 'read from S3')
  const original = parseOriginalKey(form.fields['key'] ?? '')
  assert.ok(original)
  const manifest = { Bucket: api.bucket, Key: manifestKey(original) }
  await api.s3.send(new PutObjectCommand({ ...manifest, Body: `{"filename":"${personalName}"` }))
  assert.is((await client.get(`/uploads/${announced.id}`)).status, 503)
  await api.s3.send(new DeleteObjectCommand(manifest))
  await api.redis.del(key)
  await client.get(`/uploads/${announced.id}/original`)
  await process.stop()

  const cookie = client.cookie?.split('=')[1] ?? ''
  assert.is.not(cookie, '')
  const fields = Object.entries(form.fields).filter(([name]) => /signature|credential|policy/i.test(name))
  assert.ok(fields.length >= 3)
  const secrets = [
    's3cret',
    'Jane',
    Buffer.from(personalName).toString('base64'),
    cookie,
    decodeURIComponent(cookie),
    environment.SESSION_KEYS,
    environment.AWS_SECRET_ACCESS_KEY,
    environment.AWS_ACCESS_KEY_ID,
    ...fields.map(([, value]) => value),
    'X-Amz-Signature=',
  ]
  assert.equal(findAny(process.lines, secrets), [])
  const ofRequests = process.lines.map((line) => JSON.parse(line)).filter((line) => 'reqId' in line)
  const operations = new Set(ofRequests.map(({ operation }) => operation))
  assert.not.ok(operations.has(undefined))
  for (const name of ['getSession', 'announceUpload', 'getOriginal', 'sendTusChunk', 'noRoute']) {
    assert.ok(operations.has(name), name)
  }
  const text = process.lines.join('\n')
  assert.match(text, /"route":"\/uploads\/:id"/)
  assert.match(text, new RegExp(`"uploadId":"${announced.id}"`))
  assert.match(text, /"msg":"request failed"/)
})

test('a client that disconnects from its event stream is logged at debug only', async () => {
  const lines: string[] = []
  const left = Promise.withResolvers<string>()
  const write = (line: string) => {
    lines.push(line)
    if (line.includes('client disconnected')) left.resolve(line)
  }
  const instances = await startApiInstances({
    log: createLog({ level: 'debug', instance: 'api' }, { write }),
  })
  const client = createHttpClient(instances.url)
  const { id } = await announce(client, 9)
  const events = await openConnection(Number(new URL(instances.url).port))
  events.send(`GET /uploads/${id}/events HTTP/1.1\r\nhost: localhost\r\ncookie: ${client.cookie}\r\n\r\n`)
  await events.until('event: upload')
  events.destroy()
  const { level, msg } = JSON.parse(await left.promise)
  assert.equal([level, msg], [20, 'client disconnected'])
  await instances.close()
  assert.equal(
    lines.filter((line) => /premature|"level":[456]0/.test(line)),
    [],
  )
})

test("the worker's log of a failing job contains the error but no secret", async () => {
  const lines: string[] = []
  const failed = Promise.withResolvers<void>()
  const write = (line: string) => {
    lines.push(line)
    if (line.includes('"event":"given-up"')) failed.resolve()
  }
  const log = createLog({ level: 'trace', instance: 'worker' }, { write })
  const redis = connectBlockingRedis(api.environment.REDIS_URL, log)
  const prefix = `test-${randomUUID()}`
  const handlers = createJobHandlers({
    async processUpload() {
      throw new AppError('image_corrupt', { cause: await awsError() })
    },
    failUpload: async () => {},
    importUpload: async () => {},
    finishImport: async () => {},
    runDistribution: async () => {},
    runDelivery: async () => {},
    giveUpDelivery: async () => {},
  })
  const worker = createQueueWorker({
    queueName: uploadQueueName,
    redis,
    prefix,
    slots: 1,
    processor: createProcessor({
      handlers,
      activeJobs: { begin: () => () => undefined },
      oldestJob: createOldestJob(),
      log,
    }),
    log,
  })
  await worker.start()
  const queue = createUploadQueue({ redis: api.redis, prefix })
  await queue.add({ owner: sessionOwner('0'.repeat(32)), id: newUploadId(), etag: '"e"' })
  await failed.promise
  await worker.drain(1000)
  await queue.close()
  redis.disconnect()

  assert.equal(findAny(lines, ['s3cret', 'Jane', api.environment.AWS_ACCESS_KEY_ID]), [])
  const line = lines.find((one) => one.includes('"event":"given-up"')) ?? ''
  assert.match(line, /"job":"process-upload"/)
  assert.match(line, /NoSuchKey/)
  assert.match(line, /"httpStatus":404/)
})

/** Returns an error of the SDK with secrets in every place where such an error may have them. */
async function awsError(): Promise<unknown> {
  try {
    return await api.s3.send(new GetObjectCommand({ Bucket: api.bucket, Key: 'originals/nobody' }))
  } catch (error) {
    if (!(error instanceof S3ServiceException)) throw error
    const url = `https://bucket.example/originals/x?X-Amz-Signature=${secret('sig')}&X-Amz-Credential=${secret('cred')}`
    error.message += ` GET ${url}, authorization: AWS4-HMAC-SHA256 Credential=${secret('k')}/x, Signature=${secret('s')}`
    return Object.assign(error, {
      request: { headers: { authorization: secret('header') }, body: `{"filename":"${personalName}"}` },
      command: { name: 'set', args: [secret('argument')] },
    })
  }
}

test('properties with secrets are removed from log lines', () => {
  const lines: string[] = []
  const log = createLog({ level: 'trace', instance: 'x' }, { write: (line: string) => void lines.push(line) })
  log.info({ headers: { cookie: secret('a') }, cookie: secret('b'), filename: personalName, kept: 1 }, 'one')
  log
    .child({ intent: { filename: personalName } })
    .info({ some: { authorization: secret('c'), kept: 2 } }, 'two')
  log.error(new Error(`refused by redis://user:${secret('d')}@host`))
  log.warn({ error: new Error(`cookie: millrace=${secret('e')}`) }, `Bearer ${secret('f')}`)
  assert.equal(findAny(lines, ['s3cret', 'Jane']), [])
  assert.is(lines.length, 4)
  assert.equal(
    lines.map((line) => JSON.parse(line)).map(({ kept, some }) => kept ?? some?.kept),
    [1, 2, undefined, undefined],
  )
})

test('scrubSecrets removes the secrets of a text and keeps the rest', () => {
  const cases: [before: string, after: string][] = [
    ['nothing to hide', 'nothing to hide'],
    ['redis://u:p@host:6379/0 is away', 'redis://[scrubbed]@host:6379/0 is away'],
    ['GET https://b.s3/k?X-Amz-Signature=ab&x=1 failed', 'GET https://b.s3/k?[scrubbed] failed'],
    [
      'GET /k?a=1&X-Amz-Signature=ab12&x-id=GetObject',
      'GET /k?a=1&X-Amz-Signature=[scrubbed]&x-id=GetObject',
    ],
    ['{"X-Amz-Security-Token":"FwoG/=="}', '{"X-Amz-Security-Token":"[scrubbed]"}'],
    ['authorization: AWS4-HMAC-SHA256 Credential=A/b, Signature=c', 'authorization: [scrubbed]'],
    ['{"msg":"cookie: a=b; c=d","level":30}', '{"msg":"cookie: [scrubbed]","level":30}'],
    ['sent Bearer mr_abcdefgh.ij there', 'sent Bearer [scrubbed] there'],
    ['see https://example.com/docs for more', 'see https://example.com/docs for more'],
    [
      `Unexpected token 'x', "{"filename"... is not valid JSON`,
      `Unexpected token 'x', [scrubbed] is not valid JSON`,
    ],
  ]
  for (const [before, after] of cases) assert.is(scrubSecrets(before), after)
  const parsing = (text: string) => {
    try {
      return JSON.parse(text)
    } catch (error) {
      return error instanceof Error ? error.message : ''
    }
  }
  for (const text of ['{"name":"Jane"', '{"name":"Jane" x', 'Jane Doe', `{"name":"${'Jane'.repeat(50)}",}`]) {
    assert.not.match(scrubSecrets(parsing(text)), 'Jane')
  }
})

test('a logged error has its type, message, stack, code and causes, also if a cause is circular', () => {
  const inner = Object.assign(new TypeError('inner'), { code: 'EINNER', config: secret('config') })
  const outer = new AggregateError([inner, inner], 'outer', { cause: inner })
  const { type, message, stack, cause, errors } = loggableError(outer)
  assert.equal(
    [type, message, cause?.type, cause?.code, errors?.length],
    ['AggregateError', 'outer', 'TypeError', 'EINNER', 2],
  )
  assert.match(stack ?? '', 'log-redaction.test.ts')
  assert.not.match(JSON.stringify(loggableError(outer)), 's3cret')
  const circle = new Error('circle')
  circle.cause = circle
  assert.ok(JSON.stringify(loggableError(circle)).length > 0)
  assert.is(loggableError(secret('thrown')).type, 'string')
  assert.not.match(JSON.stringify(loggableError(secret('thrown'))), 's3cret')
})

test.run()
