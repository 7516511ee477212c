import { connectSubscriberRedis } from '@millrace/shared/connections/connections.ts'
import { createSubscriber } from '@millrace/shared/connections/subscriber.ts'
import { createLog } from '@millrace/shared/service/log.ts'

export type OpenSubscriber = ReturnType<typeof openSubscriber>

/** Opens a connection of its own for subscriptions. `redis` is the connection. */
export function openSubscriber(url: string) {
  const log = createLog({ level: 'silent', instance: 'test' })
  const redis = connectSubscriberRedis(url, log)
  const subscriber = createSubscriber({ redis, log })
  return {
    ...subscriber,
    redis,
    /** Waits until Redis has confirmed all earlier subscriptions. */
    async confirmAll(): Promise<void> {
      const last = subscriber.subscribe('confirmed', () => undefined)
      await last.confirmed()
      last.end()
    },
    disconnect: () => redis.disconnect(),
  }
}
