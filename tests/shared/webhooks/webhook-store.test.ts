import { tenantKey } from '@millrace/shared/uploads/owner.ts'
import { createWebhookStore } from '@millrace/shared/webhooks/webhook-store.ts'
import * as assert from 'uvu/assert'
import { createClient, openContractTarget } from '../../local-s3/support/contract-target.ts'
import { suite } from '../../support/suite.ts'
import { webhookOf } from '../../worker/support/webhooks.ts'

const test = suite('webhook store')
const target = await openContractTarget()
const { bucket } = target
test.after(() => target.close())

/**
 * Opens a store whose writes something else comes before.
 * @param beforeWrite is awaited before each write
 */
function storeWithRival(beforeWrite: (write: number) => Promise<unknown>) {
  const { endpoint, region, credentials } = target
  const s3 = createClient({ endpoint, region, credentials })
  let writes = 0
  s3.middlewareStack.add(
    (next, context) => async (args) => {
      if (context['commandName'] === 'PutObjectCommand') await beforeWrite(++writes)
      return next(args)
    },
    { step: 'initialize' },
  )
  return { store: createWebhookStore({ s3, bucket }), writes: () => writes, close: () => s3.destroy() }
}

test('a change that another process came before is decided again, and both are kept', async () => {
  const rival = createWebhookStore({ s3: target.client, bucket })
  const webhook = webhookOf('acme', '1', { description: '' })
  const key = tenantKey('acme')
  await rival.create(webhook)
  const { store, writes, close } = storeWithRival(async (write) => {
    if (write === 1)
      await rival.update(key, webhook.id, (current) => ({
        ...current,
        description: `${current.description}a`,
      }))
  })
  const changed = await store.update(key, webhook.id, (current) => ({
    ...current,
    description: `${current.description}b`,
  }))
  assert.equal([changed?.description, writes()], ['ab', 2])
  assert.is((await rival.read(key, webhook.id))?.description, 'ab')
  close()
})

test('a change of a webhook that another process deletes meanwhile does not bring it back', async () => {
  const rival = createWebhookStore({ s3: target.client, bucket })
  const webhook = webhookOf('acme', '2')
  const key = tenantKey('acme')
  await rival.create(webhook)
  const { store, close } = storeWithRival(() => rival.remove(key, webhook.id))
  const changed = await store.update(key, webhook.id, (current) => ({ ...current, enabled: false }))
  assert.is(changed, undefined)
  assert.is(await rival.read(key, webhook.id), undefined)
  close()
})

test('a change of another instance is listed after five seconds, and one of this instance at once', async () => {
  const other = createWebhookStore({ s3: target.client, bucket })
  const store = createWebhookStore({ s3: target.client, bucket })
  const key = tenantKey('globex')
  const { now } = performance
  // Whole numbers, whose differences are exact.
  let nowMs = Math.round(now.call(performance))
  performance.now = () => nowMs
  const listed = async () => {
    // The cache reads its clock once per ms of the real one.
    for (let requests = 0; requests < 2; requests++) await other.read(key, 'wh_0')
    return (await store.list(key)).map(({ id }) => id)
  }
  try {
    const [one, two] = [webhookOf('globex', '1'), webhookOf('globex', '2')]
    assert.equal(await listed(), [])
    await other.create(one)
    nowMs += 5_000
    assert.equal(await listed(), [])
    assert.equal(
      (await store.list(key, { isFresh: true })).map(({ id }) => id),
      [one.id],
    )
    await other.create(two)
    nowMs += 5_000
    assert.equal(await listed(), [one.id])
    nowMs += 1
    assert.equal(await listed(), [one.id, two.id])
    await store.remove(key, one.id)
    assert.equal(await listed(), [two.id])
  } finally {
    performance.now = now
  }
})

test.run()
