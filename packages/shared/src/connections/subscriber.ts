import type { Redis } from 'ioredis'
import type { Logger } from 'pino'

type Listener = (message: string) => void

/** A channel that somebody listens to. */
type Channel = {
  listeners: Set<{ listener: Listener }>
  state: 'unanswered' | 'confirmed' | 'refused'
  /** Settles with the answer. Replaced when the connection of the answer is lost. */
  answer: PromiseWithResolvers<void>
}

/** A subscription of one listener to one channel. */
export type Subscription = {
  /** Resolves when Redis has confirmed it. Rejects if Redis refuses it, or the connection is closed for good. */
  confirmed(): Promise<void>
  /** Whether Redis has confirmed it on the connection of now. */
  isConfirmed(): boolean
  /** Ends it. With its last listener, a channel is unsubscribed. */
  end(): void
}

/**
 * Creates the subscriptions of a process. They share one connection and outlast it: this list of channels is the truth, and
 * after each reconnection all of them are subscribed again.
 *
 * Each channel has a command of its own. ioredis counts the replies of a command for several channels, and the count is wrong
 * once the connection was lost between them: then channels are lost for ever (decision 0063).
 *
 * @param deps.redis made by `connectSubscriberRedis`, and used for nothing else
 * @param deps.log for channels that Redis refuses
 */
export function createSubscriber(deps: { redis: Redis; log: Pick<Logger, 'warn'> }) {
  const { redis, log } = deps
  const channels = new Map<string, Channel>()
  const reconnectedListeners: (() => void)[] = []
  let wasReady = redis.status === 'ready'

  redis.on('message', (name: string, message: string) => {
    const channel = channels.get(name)
    if (channel) for (const { listener } of channel.listeners) listener(message)
  })
  redis.on('ready', () => {
    const isFirst = !wasReady
    wasReady = true
    void subscribeAll().then((areConfirmed) => {
      if (areConfirmed && !isFirst) for (const listener of reconnectedListeners) listener()
    })
  })
  redis.on('close', () => {
    for (const channel of channels.values()) {
      if (channel.state !== 'unanswered') Object.assign(channel, newAnswer())
    }
  })
  redis.on('end', () => {
    for (const { answer } of channels.values()) answer.reject(closedError())
  })

  /** Returns false if the connection was lost before the last answer. The next one begins again. */
  async function subscribeAll(): Promise<boolean> {
    const answers = await Promise.all([...channels].map(([name, channel]) => send(name, channel)))
    return !answers.includes('lost')
  }

  async function send(name: string, channel: Channel): Promise<'answered' | 'lost'> {
    try {
      await redis.subscribe(name)
      channel.state = 'confirmed'
      channel.answer.resolve()
      return 'answered'
    } catch (error) {
      if (!isReply(error)) return 'lost'
      log.warn({ err: error, event: 'subscription-refused' }, 'Redis refuses a subscription')
      channel.state = 'refused'
      channel.answer.reject(error)
      return 'answered'
    }
  }

  function open(name: string): Channel {
    const channel: Channel = { listeners: new Set(), ...newAnswer() }
    channels.set(name, channel)
    if (redis.status === 'ready') void send(name, channel)
    else if (redis.status === 'end') channel.answer.reject(closedError())
    return channel
  }

  return {
    /** Calls the listener with each message of a channel, from the confirmation on, until it ends. */
    subscribe(name: string, listener: Listener): Subscription {
      const channel = channels.get(name) ?? open(name)
      const entry = { listener }
      channel.listeners.add(entry)
      return {
        confirmed: () => channel.answer.promise,
        isConfirmed: () => channel.state === 'confirmed',
        end() {
          if (!channel.listeners.delete(entry) || channel.listeners.size > 0) return
          channels.delete(name)
          // If this fails, the connection is lost, and the subscription with it.
          if (redis.status === 'ready') redis.unsubscribe(name).catch(() => undefined)
        },
      }
    },

    /**
     * Calls the listener after each reconnection, when Redis has confirmed all channels: what is read from then on misses
     * nothing.
     */
    onReconnected(listener: () => void): void {
      reconnectedListeners.push(listener)
    },

    /** Opens the connection again. */
    reconnect(): void {
      redis.disconnect(true)
    },
  }
}

export type Subscriber = ReturnType<typeof createSubscriber>

/** ioredis' own error, which counts as an outage. */
const closedError = () => new Error('Connection is closed.')

/** Otherwise the connection was lost. */
const isReply = (error: unknown) => error instanceof Error && error.name === 'ReplyError'

function newAnswer(): Pick<Channel, 'state' | 'answer'> {
  const answer = Promise.withResolvers<void>()
  // A refusal that nobody waits for is only logged.
  answer.promise.catch(() => undefined)
  return { state: 'unanswered', answer }
}
