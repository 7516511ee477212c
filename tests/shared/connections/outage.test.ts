import { fullStorageOf, isOutage } from '@millrace/shared/connections/outage.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('outages')

const error = (properties: object, message = 'message') => Object.assign(new Error(message), properties)

test('errors of connections, and replies of a Redis that cannot write, are outages', () => {
  const oom = error({ name: 'ReplyError' }, "OOM command not allowed when used memory > 'maxmemory'.")
  const outages = [
    error({ code: 'ECONNREFUSED' }),
    error({ code: 'ECONNRESET' }, 'aborted'),
    error({ name: 'MaxRetriesPerRequestError' }),
    error({}, 'Connection is closed.'),
    error({ name: 'AbortError' }, 'Command aborted due to connection close'),
    oom,
    error({ name: 'ReplyError' }, "READONLY You can't write against a read only replica."),
    error({ name: 'ReplyError' }, 'LOADING Redis is loading the dataset in memory'),
    error(
      { name: 'ReplyError' },
      "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is 'no'.",
    ),
    error({ name: 'ReplyError' }, 'CLUSTERDOWN The cluster is down'),
    error({ name: 'ReplyError' }, 'ERR Error running script: @user_script:12: OOM command not allowed'),
    error({ name: 'ReplyError', previousErrors: [oom] }, 'EXECABORT Transaction discarded'),
  ]
  for (const outage of outages) assert.ok(isOutage(outage), outage.message)
})

test('server errors, throttling and timeouts of S3 and SQS are outages', () => {
  const outages = [
    error({ $fault: 'server' }),
    error({ $fault: 'client', $metadata: { httpStatusCode: 503 } }),
    error({ name: 'SlowDown' }),
    error({ name: 'RequestTimeout', $fault: 'client', $metadata: { httpStatusCode: 400 } }),
    error({ name: 'TimeoutError' }),
    error({ name: 'AccessDenied', $fault: 'client', $metadata: { httpStatusCode: 403 } }),
    error({ name: 'ExpiredTokenException', $fault: 'client', $metadata: { httpStatusCode: 400 } }),
    new AppError('dependency_unavailable'),
    new Error('wrapped', { cause: error({ code: 'EPIPE' }) }),
  ]
  for (const outage of outages) assert.ok(isOutage(outage), outage.message)
})

test('other errors are not outages', () => {
  const others = [
    undefined,
    'ECONNREFUSED',
    new Error('message'),
    error({ name: 'ReplyError' }, 'WRONGTYPE Operation against a key holding the wrong kind of value'),
    error({ name: 'NoSuchKey', $fault: 'client', $metadata: { httpStatusCode: 404 } }),
    new AppError('image_corrupt'),
    // The source of an import is not one of our dependencies.
    new AppError('source_unavailable', { cause: error({ code: 'ECONNREFUSED' }) }),
  ]
  for (const other of others) assert.is(isOutage(other), false)
})

test('the storage whose disk is full is found among the errors of earlier attempts, which may contain themselves', () => {
  const closed = error({}, 'Connection is closed.')
  Object.assign(closed, { previousErrors: [closed] })
  assert.is(fullStorageOf(closed), undefined)
  const full = error(
    { name: 'ReplyError' },
    'MISCONF Errors writing to the AOF file: No space left on device',
  )
  assert.is(fullStorageOf(full), 'Redis')
  assert.is(
    fullStorageOf(error({ previousErrors: [closed, full] }, 'EXECABORT Transaction discarded')),
    'Redis',
  )
  assert.is(fullStorageOf(error({ cause: error({ $metadata: { httpStatusCode: 507 } }) })), 'S3')
})

test.run()
