import type { KeptMutation } from '../../mutation.ts'

const room = 'packages/api/src/streams'

export const mutations: readonly KeptMutation[] = [
  {
    name: 'event streams are silent for more than three minutes',
    file: `${room}/server-sent-events.ts`,
    before: 'export const heartbeatMs = 20_000',
    after: 'export const heartbeatMs = 200_000',
    effect: 'Load balancers close idle event streams after a minute, again and again.',
    tests: ['api/streams/server-sent-events.test.ts'],
  },
  {
    name: 'heartbeat of streams longer than the timeout of proxies',
    file: `${room}/server-sent-events.ts`,
    before: 'heartbeatMs = 20_000',
    after: 'heartbeatMs = 200_000',
    effect: 'Load balancers close quiet streams each minute.',
    tests: ['api/streams/server-sent-events.test.ts'],
  },
  {
    name: 'streams ignore the end of their identity',
    file: `${room}/server-sent-events.ts`,
    before: 'if (await stream.opener.hasEnded().catch(() => false)) stream.end()',
    after: 'await stream.opener.hasEnded().catch(() => false)',
    effect: 'Who logs out on one device still sees changes on the other.',
    tests: ['api/streams/server-sent-events.test.ts'],
  },
  {
    name: 'identity without an answer is ended',
    file: `${room}/server-sent-events.ts`,
    before: 'stream.opener.hasEnded().catch(() => false)',
    after: 'stream.opener.hasEnded().catch(() => true)',
    effect: 'An outage of Redis closes all streams.',
    tests: ['api/streams/server-sent-events.test.ts'],
  },
  {
    name: 'streams outlive their identity',
    file: `${room}/server-sent-events.ts`,
    before: 'opener.endsAtMs ?? Number.POSITIVE_INFINITY,',
    after: 'Number.POSITIVE_INFINITY,',
    effect: 'An upload token of a minute watches for an hour.',
    tests: ['api/streams/server-sent-events.test.ts'],
  },
  {
    name: 'logout ends the streams of everyone',
    file: `${room}/server-sent-events.ts`,
    before: 'if (owner === undefined || stream.opener.holder.owner === owner) void endIfEnded(stream)',
    after: 'if (owner === undefined || stream.opener.holder.owner !== owner) void endIfEnded(stream)',
    effect: 'A logout is noticed up to twenty seconds late.',
    tests: ['api/streams/server-sent-events.test.ts'],
  },
  {
    name: 'share of a stream stays taken',
    file: `${room}/server-sent-events.ts`,
    before: '        share?.release()\n',
    after: '',
    effect: 'An owner that reloads its page a hundred times gets no streams any more.',
    tests: ['api/streams/server-sent-events.test.ts', 'api/events/stream-limits.test.ts'],
  },
  {
    name: 'streams begin while the instance closes',
    file: `${room}/server-sent-events.ts`,
    before: "if (closing.aborted) throw new AppError('draining')",
    after: '',
    effect: 'A shutdown waits for streams until its deadline.',
    tests: ['api/streams/server-sent-events.test.ts'],
  },
  {
    name: 'streams outlive the instance',
    file: `${room}/server-sent-events.ts`,
    before:
      '    clearInterval(timer)\n    for (const slot of slots) for (const stream of slot) stream.end()\n',
    after: '    clearInterval(timer)\n',
    effect: 'Each shutdown takes its whole deadline.',
    tests: ['api/streams/server-sent-events.test.ts'],
  },
]
