import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { SendError } from '../../packages/client/src/api/millrace-error.ts'
import { followEvents } from '../../packages/client/src/following/follow-events.ts'
import { checkProperty } from '../support/check-property.ts'
import { suite } from '../support/suite.ts'
import { withInstantTimers } from './support/instant-timers.ts'

const test = suite('event streams of the client')
const encoder = new TextEncoder()
/** In ms. The timeout of an idle stream is longer. */
const longestDelayMs = 60_000

type Event = { id?: string | undefined; event: string; data: unknown }

/** What the API sends (packages/api/src/streams/server-sent-events.ts). */
const textOf = ({ id, event, data }: Event) =>
  `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`

/** A stream of these bytes, cut at the places. Fails at its end if the connection is lost. */
function streamOf(bytes: Uint8Array, cuts: readonly number[], isLost = false): ReadableStream<Uint8Array> {
  const places = [...new Set([0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])]
  const chunks = places
    .toSorted((one, other) => one - other)
    .flatMap((from, index, all) => (index + 1 < all.length ? [bytes.slice(from, all[index + 1])] : []))
    .values()
  return new ReadableStream({
    pull(controller) {
      const { done, value } = chunks.next()
      if (!done) controller.enqueue(value)
      else if (isLost) controller.error(new TypeError('terminated'))
      else controller.close()
    },
  })
}

/** Follows streams one after the other. @returns the events, and the ids with which each stream was asked for */
async function follow(streams: (ReadableStream<Uint8Array> | undefined | Error)[]) {
  const { signal } = new AbortController()
  const asked: (string | undefined)[] = []
  const events: Event[] = []
  const queue = streams.values()
  for await (const { id, event = '', data } of followEvents({
    signal,
    async open(lastEventId) {
      asked.push(lastEventId)
      const { value: next } = queue.next()
      if (next instanceof Error) throw next
      return next
    },
  })) {
    events.push({ id, event, data: JSON.parse(data) })
  }
  return { events, asked }
}

const anyEvent = fc.record({
  id: fc.option(fc.nat().map(String), { nil: undefined }),
  event: fc.constantFrom('upload', 'erased', 'progress', 'snapshot'),
  data: fc.record({ text: fc.string({ unit: 'grapheme' }), count: fc.nat() }, { noNullPrototype: true }),
})

test('events are the same however their bytes are cut, and each stream continues after the last id', async () => {
  await checkProperty(
    fc.asyncProperty(
      fc.array(
        fc.record({
          events: fc.array(anyEvent, { maxLength: 5 }),
          cuts: fc.array(fc.nat(), { maxLength: 20 }),
          isLost: fc.boolean(),
        }),
        { maxLength: 4 },
      ),
      async (connections) => {
        const timers = withInstantTimers(0, longestDelayMs)
        try {
          const streams = connections.map(({ events, cuts, isLost }) =>
            streamOf(
              encoder.encode(`retry: 2000\n\n: still here\n\n${events.map(textOf).join(': still here\n\n')}`),
              cuts,
              isLost,
            ),
          )
          const { events, asked } = await follow([...streams, undefined])
          const expected = connections.flatMap((connection) => connection.events)
          assert.equal(
            events.map(({ id, event, data }) => [id, event, data]),
            expected.map(({ id, event, data }) => [id, event, data]),
          )
          let last: string | undefined
          const ids = connections.map((connection) => {
            last = connection.events.findLast(({ id }) => id !== undefined)?.id ?? last
            return last
          })
          assert.equal(asked, [undefined, ...ids])
        } finally {
          timers.restore()
        }
      },
    ),
  )
})

test('a half event at the end of a lost connection is not passed on, and is asked for again', async () => {
  const timers = withInstantTimers(0, longestDelayMs)
  try {
    const [one, two] = [
      { id: '1', event: 'upload', data: 'one' },
      { id: '2', event: 'upload', data: 'two' },
    ]
    const whole = encoder.encode(textOf(one) + textOf(two))
    const { events, asked } = await follow([
      streamOf(whole.slice(0, -1), [], true),
      streamOf(encoder.encode(textOf(two)), []),
      undefined,
    ])
    assert.equal(events, [one, two])
    assert.equal(asked, [undefined, '1', '2'])
  } finally {
    timers.restore()
  }
})

test('a stream is opened again after two seconds, or after the time that the API asks for', async () => {
  const timers = withInstantTimers(0, longestDelayMs)
  try {
    await follow([streamOf(encoder.encode(': hello\n\n'), []), undefined])
    assert.is(timers.delays.at(-1), 2_000)
    await follow([streamOf(encoder.encode('retry: 7500\n\n'), []), undefined])
    assert.is(timers.delays.at(-1), 7_500)
  } finally {
    timers.restore()
  }
})

test('an API that is away is asked again without a limit, and a final error ends the watch', async () => {
  const timers = withInstantTimers(1, longestDelayMs)
  try {
    const away = Array.from({ length: 20 }, () => new SendError(0, 'no connection'))
    assert.equal((await follow([...away, undefined])).asked.length, 21)
    assert.is(Math.max(...timers.delays), 10_000)
    const final = new SendError(401, 'ended')
    assert.is(await follow([final]).catch((error: unknown) => error), final)
  } finally {
    timers.restore()
  }
})

test('a caller that leaves the loop during an event gets no further one, and the connection is closed', async () => {
  const events = encoder.encode(['1', '2'].map((id) => textOf({ id, event: 'upload', data: id })).join(''))
  let cancelled = false
  const seen: (string | undefined)[] = []
  const stream = new ReadableStream({
    start: (controller) => controller.enqueue(events),
    cancel() {
      cancelled = true
    },
  })
  for await (const { id } of followEvents({
    signal: new AbortController().signal,
    open: async () => stream,
  })) {
    seen.push(id)
    break
  }
  assert.equal([seen, cancelled], [['1'], true])
})

test.run()
