import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { verifyWebhook, WebhookError, type WebhookEvent } from '@millrace/client'
import { signWebhook } from '@millrace/worker/webhooks/sign-webhook.ts'
import * as assert from 'uvu/assert'
import { testContent } from '../../packages/api/src/webhooks/test-content.ts'
import { suite } from '../support/suite.ts'

const test = suite('verifyWebhook')
const newSecret = () => `whsec_${randomBytes(24).toString('base64')}`
const secret = newSecret()

/** An event as a worker sends it. */
function send(options: { secrets?: string[]; now?: Date; type?: 'upload.ready' | 'upload.deleted' } = {}) {
  const { secrets = [secret], now, type = 'upload.ready' } = options
  const content = testContent(type)
  const body = Buffer.from(JSON.stringify({ ...content, data: { ...content.data, user: 'Ünï 🛶' } }))
  const valid = secrets.map((each) => ({ secret: each, createdAt: content.timestamp }))
  return { body, headers: signWebhook(valid, { id: content.id, body }, now), id: content.id }
}

function refusal(work: () => unknown): WebhookError {
  try {
    work()
  } catch (error) {
    assert.instance(error, WebhookError)
    if (error instanceof WebhookError) return error
  }
  throw new Error('It was accepted.')
}

test('an event is verified, whatever holds its headers and its body', () => {
  const { body, headers, id } = send()
  const upper = Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name.toUpperCase(), [value]]),
  )
  const bodies = [body, body.toString(), new Uint8Array(body), new Uint8Array(body).buffer]
  for (const each of [headers, new Headers(headers), upper]) {
    for (const raw of bodies) assert.is(verifyWebhook(raw, each, secret).id, id)
  }
})

test('the headers of a Node request are accepted', async () => {
  const { body, headers, id } = send()
  const received = Promise.withResolvers<{ headers: IncomingHttpHeaders; body: Buffer }>()
  const server = createServer(async (incoming, outgoing) => {
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk)
    outgoing.end()
    received.resolve({ headers: incoming.headers, body: Buffer.concat(chunks) })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo // of a TCP server
  request({ port, method: 'POST', headers }).end(body)
  const seen = await received.promise
  assert.is(verifyWebhook(seen.body, seen.headers, secret).id, id)
  server.close()
})

test('the type of an event tells which fields it has', () => {
  const describe = (event: WebhookEvent): string => {
    switch (event.type) {
      case 'upload.received':
        return `${event.data.filename} of ${event.data.size} bytes`
      case 'upload.ready':
        return event.data.variants.map(({ name }) => name).join()
      case 'upload.rejected':
      case 'upload.failed':
        return event.data.error.code
      case 'upload.deleted':
        return `${event.data.state} by ${event.data.user}`
    }
  }
  const told = (type: 'upload.ready' | 'upload.deleted') => {
    const { body, headers } = send({ type })
    return describe(verifyWebhook(body, headers, secret))
  }
  assert.equal([told('upload.ready'), told('upload.deleted')], ['thumb', 'deleted by Ünï 🛶'])
})

test('while secrets rotate, one of several fits, on either side', () => {
  const next = newSecret()
  const both = send({ secrets: [next, secret] })
  const one = send({ secrets: [next] })
  for (const known of [secret, next, [secret, next]]) verifyWebhook(both.body, both.headers, known)
  verifyWebhook(one.body, one.headers, [secret, next])
  assert.is(refusal(() => verifyWebhook(one.body, one.headers, [secret])).code, 'signature_invalid')
})

test('another body, another secret, another id and a request that is more than five minutes off are refused', () => {
  const { body, headers } = send()
  const changed = Buffer.from(body.toString().replace('ready', 'lost!'))
  // Five minutes, and half of one for this test.
  for (const seconds of [-270, 270]) {
    const accepted = send({ now: new Date(Date.now() + seconds * 1000) })
    assert.is(verifyWebhook(accepted.body, accepted.headers, secret).id, accepted.id)
  }
  const old = send({ now: new Date(Date.now() - 330_000) })
  const early = send({ now: new Date(Date.now() + 330_000) })
  for (const work of [
    () => verifyWebhook(changed, headers, secret),
    () => verifyWebhook(Buffer.concat([Buffer.from('\ufeff'), body]), headers, secret),
    () => verifyWebhook(body, headers, newSecret()),
    () => verifyWebhook(body, { ...headers, 'webhook-id': 'evt_other' }, secret),
    () => verifyWebhook(body, { ...headers, 'webhook-signature': 'v1,' }, secret),
    () => verifyWebhook(body, { ...headers, 'webhook-timestamp': 'soon' }, secret),
    () => verifyWebhook(old.body, old.headers, secret),
    () => verifyWebhook(early.body, early.headers, secret),
  ]) {
    assert.is(refusal(work).code, 'signature_invalid')
  }
  assert.match(refusal(() => verifyWebhook(old.body, old.headers, secret)).message, 'too old')
})

test('mistakes of the receiver are told apart from forged requests', () => {
  const { body, headers } = send()
  const wrong: (() => unknown)[] = [
    () => verifyWebhook(JSON.parse(body.toString()), headers, secret),
    // @ts-expect-error: no body
    () => verifyWebhook(undefined, headers, secret),
    // @ts-expect-error: an environment variable that is not set
    () => verifyWebhook(body, headers, process.env['NO_SUCH_SECRET']),
    () => verifyWebhook(body, headers, ''),
    () => verifyWebhook(body, headers, []),
    () => verifyWebhook(body, headers, 'whsec_§'),
    () => verifyWebhook(body, {}, secret),
    () => verifyWebhook(body, new Headers(), secret),
  ]
  const errors = wrong.map(refusal)
  assert.equal(
    errors.map(({ code }) => code),
    [
      'body_not_raw',
      'body_not_raw',
      'secret_invalid',
      'secret_invalid',
      'secret_invalid',
      'secret_invalid',
      'headers_missing',
      'headers_missing',
    ],
  )
  assert.match(errors[0]?.message ?? '', 'parsed already')
  assert.match(errors[1]?.message ?? '', 'missing')
  assert.match(errors[6]?.message ?? '', 'webhook-id, webhook-timestamp, webhook-signature')
})

test('a signed body that is no event is refused', () => {
  for (const text of ['not json', '[]', '{"type":"upload.ready"}', 'null', '']) {
    const body = Buffer.from(text)
    const headers = signWebhook([{ secret, createdAt: '' }], { id: 'evt_1', body })
    assert.is(refusal(() => verifyWebhook(body, headers, secret)).code, 'event_invalid', text)
  }
})

test.run()
