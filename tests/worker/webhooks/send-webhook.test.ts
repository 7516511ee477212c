import { createPublicAddress } from '@millrace/shared/imports/public-address.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import type { WebhookContent } from '@millrace/shared/webhooks/delivery-log.ts'
import { createSourceAddresses } from '@millrace/worker/imports/source-addresses.ts'
import { createSendWebhook } from '@millrace/worker/webhooks/send-webhook.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { type DnsServer, startDnsServer } from '../support/dns-server.ts'
import { type Receiver, startReceiver } from '../support/receiver.ts'
import { newSecret } from '../support/webhook-sender.ts'

const test = suite('send webhook')
let dns: DnsServer
const receivers: Receiver[] = []

test.before(async () => {
  dns = await startDnsServer()
})
test.after.each(async () => {
  for (const receiver of receivers.splice(0)) await receiver.close()
})
test.after(() => dns.close())

async function receiverThat(respond: Parameters<typeof startReceiver>[0]): Promise<Receiver> {
  const receiver = await startReceiver(respond)
  receivers.push(receiver)
  return receiver
}

function send(
  url: string,
  options: { timeoutMs?: number; bodyTimeoutMs?: number; signal?: AbortSignal; networks?: string[] } = {},
) {
  const { timeoutMs = 10_000, bodyTimeoutMs = 10_000, signal = new AbortController().signal } = options
  const { networks = ['127.0.0.1/32'] } = options
  const sendWebhook = createSendWebhook({
    addresses: createSourceAddresses({
      isPermitted: createPublicAddress(networks),
      dnsServers: [dns.server],
    }),
    limits: { timeoutMs, bodyTimeoutMs },
  })
  return sendWebhook({ url, secrets: [newSecret()] }, content, signal)
}

const content: WebhookContent = {
  id: `evt_${'0'.repeat(32)}`,
  type: 'upload.ready',
  timestamp: '2026-11-27T12:00:00.000Z',
  data: { id: newUploadId(), state: 'ready' },
}

async function errorOf(url: string, options: Parameters<typeof send>[1] = {}): Promise<string> {
  const result = await send(url, options)
  return 'error' in result ? result.error : String(result.status)
}

test('names that resolve to private addresses are refused at each request, without a connection', async () => {
  const target = await receiverThat(undefined)
  dns.set('app.test', (query) => (query === 1 ? ['127.0.0.1'] : ['127.0.0.2']))
  dns.set('mixed.test', ['127.0.0.1', '10.0.0.1'])
  dns.set('metadata.test', ['169.254.169.254'])
  assert.is(await errorOf(`http://app.test:${target.port}/`), '204')
  assert.is(await errorOf(`http://app.test:${target.port}/`), 'address_refused')
  for (const host of ['mixed.test', 'metadata.test', 'nowhere.test', '[::1]', '10.0.0.1']) {
    assert.is(await errorOf(`http://${host}:${target.port}/`), 'address_refused', host)
  }
  assert.is(await errorOf('ftp://127.0.0.1/'), 'address_refused')
  dns.set('failing.test', 'failure')
  assert.is(await errorOf(`http://failing.test:${target.port}/`), 'dns_unavailable')
  assert.is(target.seen.length, 1)
})

test('localhost is this machine without asking DNS, at the addresses that are permitted', async () => {
  const target = await receiverThat(undefined)
  dns.set('localhost', ['10.0.0.1'])
  dns.set('app.localhost', ['10.0.0.1'])
  for (const host of ['localhost', 'localhost.', 'app.localhost']) {
    const url = `http://${host}:${target.port}/`
    assert.is(await errorOf(url, { networks: ['127.0.0.0/8'] }), '204', host)
    assert.is(await errorOf(url, { networks: ['127.0.0.1', '::1'] }), '204', host)
    for (const networks of [[], ['10.0.0.0/8', '127.0.0.2']]) {
      assert.is(await errorOf(url, { networks }), 'address_refused', host)
    }
  }
  // The receiver does not listen there.
  const url = `http://localhost:${target.port}/`
  assert.is(await errorOf(url, { networks: ['::1'] }), 'connection_failed')
  for (const host of ['notlocalhost', 'localhost.test']) {
    assert.is(await errorOf(`http://${host}:${target.port}/`), 'address_refused', host)
  }
  assert.is(target.seen.length, 6)
})

test('a redirect is not followed', async () => {
  const target = await receiverThat(undefined)
  const redirecting = await receiverThat(
    (_, response) => void response.writeHead(308, { location: target.url }).end(),
  )
  assert.is(await errorOf(redirecting.url), '308')
  assert.is(target.seen.length, 0)
})

test('a receiver that is silent or sends its headers slowly times out', async () => {
  const silent = await receiverThat(() => {})
  assert.is(await errorOf(silent.url, { timeoutMs: 100 }), 'timeout')
  const slow = await receiverThat((_, response) => {
    const { socket } = response
    socket?.write('HTTP/1.1 200 OK\r\nx: ')
    const timer = setInterval(() => socket?.write('x'), 10)
    socket?.on('close', () => clearInterval(timer)).on('error', () => {})
  })
  assert.is(await errorOf(slow.url, { timeoutMs: 100 }), 'timeout')
  const other = await receiverThat((_, response) => void response.socket?.end('SSH-2.0-OpenSSH_9.9\r\n'))
  assert.is(await errorOf(other.url), 'connection_failed')
  const closed = await startReceiver()
  await closed.close()
  assert.is(await errorOf(closed.url), 'connection_failed')
})

test('the status decides: a response that stalls or never ends is read in part', async () => {
  const stalling = await receiverThat((_, response) => void response.writeHead(200).write('started'))
  const stalled = await send(stalling.url, { bodyTimeoutMs: 50 })
  assert.equal('status' in stalled && [stalled.status, stalled.excerpt], [200, 'started'])
  const endless = await receiverThat((_, response) => {
    response.writeHead(200).on('error', () => {})
    const write = () => {
      while (!response.destroyed && response.write('x'.repeat(4096)));
      response.once('drain', write)
    }
    write()
  })
  const cut = await send(endless.url)
  assert.equal('status' in cut && [cut.status, cut.excerpt], [200, 'x'.repeat(1000)])
})

test('Retry-After is read as seconds and as a date', async () => {
  const headers = [
    '120',
    new Date(Date.now() + 3_600_000).toUTCString(),
    '-1',
    'soon',
    'Thu, 01 Jan 1970 00:00:00 GMT',
  ]
  const target = await receiverThat(
    (_, response, index) => void response.writeHead(503, { 'retry-after': headers[index] }).end(),
  )
  const found = []
  for (const _ of headers) {
    const result = await send(target.url)
    found.push('status' in result ? result.retryAfterMs : result.error)
  }
  const [seconds, date, ...others] = found
  assert.is(seconds, 120_000)
  assert.ok(typeof date === 'number' && date > 3_500_000 && date <= 3_600_000)
  // Node reads `-1` as a date long ago.
  assert.equal(others, [0, undefined, 0])
})

test('a request ends with the reason of its signal', async () => {
  const silent = await receiverThat(() => {})
  const controller = new AbortController()
  const sent = send(silent.url, { signal: controller.signal }).catch((error: unknown) => error)
  await silent.received(1)
  const reason = new Error('draining')
  controller.abort(reason)
  assert.is(await sent, reason)
})

test.run()
