import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/client/src/following'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'stream begins anew after a reconnection',
    file: `${room}/follow-events.ts`,
    before: 'lastEventId = event.id ?? lastEventId',
    after: '',
    effect: 'Each reconnection sends the whole snapshot again.',
    tests: ['client/follow-events.test.ts'],
  },
  {
    name: 'progress forgets the last id',
    file: `${room}/follow-events.ts`,
    before: 'lastEventId = event.id ?? lastEventId',
    after: 'lastEventId = event.id',
    effect: 'A stream that ended after a progress starts again.',
    tests: ['client/follow-events.test.ts'],
  },
  {
    name: 'characters are cut between chunks',
    file: `${room}/follow-events.ts`,
    before: 'decoder.decode(bytes, { stream: true })',
    after: 'decoder.decode(bytes)',
    effect: 'Names with umlauts are broken now and then.',
    tests: ['client/follow-events.test.ts'],
  },
  {
    name: 'reconnection without a delay',
    file: `${room}/follow-events.ts`,
    before: '    await delay(delayMs, signal)\n',
    after: '',
    effect: 'A deploy makes each page reconnect in a busy loop.',
    tests: ['client/follow-events.test.ts'],
  },
  {
    name: 'stream gives up after six attempts',
    file: `${room}/follow-events.ts`,
    before: '{ signal, attempts: Number.POSITIVE_INFINITY }',
    after: '{ signal }',
    effect: 'A page that was offline shows old states for ever.',
    tests: ['client/follow-events.test.ts'],
  },
  {
    name: 'idle timeout below two heartbeats',
    file: `${room}/follow-events.ts`,
    before: 'const idleTimeoutMs = 65_000',
    after: 'const idleTimeoutMs = 6_500',
    effect: 'Each page reconnects every few seconds.',
    tests: ['client/follow-events.test.ts'],
  },
  {
    name: 'a left loop keeps its connection',
    file: `${room}/follow-events.ts`,
    before: 'await reader.cancel().catch(() => endOfStream)',
    after: 'reader.releaseLock()',
    effect: 'Each watch that ends leaves a connection open, of which browsers have six.',
    tests: ['client/follow-events.test.ts'],
  },
]
