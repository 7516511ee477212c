import { createWebhookUrlCheck } from '@millrace/shared/webhooks/webhook-url.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('webhook URL')
const refusal = 'must be at a public address, or in a network of WEBHOOK_ALLOWED_NETWORKS'

test('a URL of this machine is refused unless one of its addresses is allowed', () => {
  for (const host of ['localhost', 'LOCALHOST', 'localhost.', 'app.localhost']) {
    const url = `http://${host}:3000/hook`
    for (const networks of [[], ['10.0.0.0/8'], ['127.0.0.2']]) {
      assert.is(createWebhookUrlCheck(networks)(url), refusal, `${host}, ${networks}`)
    }
    for (const networks of [['127.0.0.0/8'], ['::1'], ['127.0.0.1', '::1']]) {
      assert.is(createWebhookUrlCheck(networks)(url), undefined, `${host}, ${networks}`)
    }
  }
  // Other names are resolved when an event is sent.
  assert.is(createWebhookUrlCheck([])('http://notlocalhost/'), undefined)
  assert.is(createWebhookUrlCheck(['127.0.0.0/8'])('http://[::1]/'), refusal)
  assert.is(createWebhookUrlCheck(['127.0.0.0/8'])('http://127.0.0.1./'), undefined)
})

test.run()
