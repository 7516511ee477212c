import { once } from 'node:events'
import { get, type IncomingMessage, type ServerResponse } from 'node:http'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { watchSourceRate } from '@millrace/worker/imports/source-rate.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { type SourceServer, startSourceServer } from '../support/source-server.ts'

const test = suite('source rate')
let source: SourceServer
const limits = { minBytesPerSecond: 10_000, windowMs: 200 }

test.before(async () => {
  source = await startSourceServer()
})
test.after(() => source.close())

/** Opens a source, whose listener gets the response to write to. */
async function open(path: string, send: (response: ServerResponse) => void): Promise<IncomingMessage> {
  source.on(path, (_request, response) => send(response))
  const request = get(source.url(path))
  // The error of a body is that of its request too.
  request.on('error', () => undefined)
  const [body]: IncomingMessage[] = await once(request, 'response')
  if (!body) throw new Error('The source did not respond.')
  return body
}

/** Writes to a response again and again. */
const drip = (bytes: number, periodMs: number) => (response: ServerResponse) => {
  response.writeHead(200)
  response.write('x')
  const timer = setInterval(() => response.write(Buffer.alloc(bytes)), periodMs)
  response.on('error', () => {}).on('close', () => clearInterval(timer))
}

test('a source below the minimum rate ends with an error that says so', async () => {
  const body = await open('/slow', drip(1, 20))
  watchSourceRate(body, limits)
  body.resume()
  const [error]: unknown[] = await once(body, 'error')
  if (!(error instanceof AppError)) throw error
  assert.equal(
    [error.code, error.message],
    ['source_too_slow', 'The source sent less than 10000 bytes per second for 0.2 seconds.'],
  )
})

test('a source above the minimum rate is read to its end', async () => {
  const body = await open('/fast', (response) => {
    response.writeHead(200)
    let writes = 0
    const timer = setInterval(() => {
      response.write(Buffer.alloc(20_000))
      if (++writes < 30) return
      clearInterval(timer)
      response.end()
    }, 20)
  })
  watchSourceRate(body, limits)
  assert.is(Buffer.concat(await body.toArray()).length, 600_000)
})

test('a source is not too slow while its data waits for S3', async () => {
  const body = await open('/held', (response) => {
    response.writeHead(200)
    // More than what the buffers of the stream and of the connection take, so the source cannot send on.
    response.end(Buffer.alloc(4 * 1024 ** 2))
  })
  body.on('error', () => undefined)
  watchSourceRate(body, { ...limits, windowMs: 50 })
  await once(body, 'readable')
  // Ten windows in which nothing is read.
  const ticks = Promise.withResolvers<void>()
  let count = 0
  const timer = setInterval(() => {
    if (++count === 10) ticks.resolve()
  }, 50)
  await ticks.promise
  clearInterval(timer)
  assert.is(body.errored, null)
  assert.is(Buffer.concat(await body.toArray()).length, 4 * 1024 ** 2)
})

test('a source that sends nothing at all is left to the idle timeout', async () => {
  const body = await open('/silent', (response) => {
    response.writeHead(200)
    response.flushHeaders()
  })
  let windows = 0
  const passed = Promise.withResolvers<void>()
  watchSourceRate(body, { ...limits, windowMs: 20 })
  body.on('error', passed.reject)
  const timer = setInterval(() => {
    if (++windows === 10) passed.resolve()
  }, 20)
  body.resume()
  await passed.promise
  clearInterval(timer)
  body.destroy()
})

test('without a minimum rate every source is fast enough', async () => {
  const body = await open('/any', (response) => {
    response.writeHead(200)
    let writes = 0
    const timer = setInterval(() => {
      response.write('x')
      if (++writes < 10) return
      clearInterval(timer)
      response.end()
    }, 20)
  })
  watchSourceRate(body, { minBytesPerSecond: 0, windowMs: 20 })
  assert.is(Buffer.concat(await body.toArray()).length, 10)
})

test.run()
