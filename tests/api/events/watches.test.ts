import {
  createUploadChanges,
  type UploadChange,
  type UploadChanges,
} from '@millrace/api/events/upload-changes.ts'
import { createWatchOwner, type OwnerEvent } from '@millrace/api/events/watch-owner.ts'
import { createWatchUpload } from '@millrace/api/events/watch-upload.ts'
import { createWatchUsers } from '@millrace/api/events/watch-users.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import type { Upload, UploadState } from '@millrace/shared/uploads/upload.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { withManualIntervals } from '../../support/manual-intervals.ts'
import { openSubscriber } from '../../support/open-subscriber.ts'
import { suite } from '../../support/suite.ts'

const test = suite('watches')
const owner = 's-tester'
const ids = Array.from({ length: 4 }, () => newUploadId())
const log = createLog({ level: 'silent', instance: 'test' })

type Stored = { upload: Upload; revision: number }
type Write = { upload: number; what: UploadState | 'erased' }

/**
 * An owner's uploads, whose changes happen between the reads of a watch: `between` is called before and after each read, as if
 * another process wrote at that moment.
 */
function openWorld(between: () => void = () => undefined) {
  const stored = new Map<string, Stored>()
  const recent = new Map<string, number>()
  const listeners = new Set<(change: UploadChange) => void>()
  let sequence = 1_000_000_000
  let epochStart = 0
  const publish = (change: UploadChange) => {
    for (const listener of listeners) listener(change)
  }
  /** Reads at one moment, with writes before and after it. */
  const read = async <Value>(value: () => Value): Promise<Value> => {
    between()
    await Promise.resolve()
    const found = value()
    between()
    await Promise.resolve()
    return found
  }
  const after = (seen: number) =>
    [...recent]
      .filter(([, at]) => at > seen)
      .toSorted(([, one], [, other]) => one - other)
      .map(([id, at]) => ({ id, sequence: at }))
  return {
    stored,
    publish,
    listeners,
    sequence: () => sequence,
    write({ upload: index, what }: Write): void {
      const id = ids[index] ?? ''
      sequence += 1
      recent.set(id, sequence)
      if (what === 'erased') {
        stored.delete(id)
        publish({ sequence, erased: id, owner })
        return
      }
      const revision = (stored.get(id)?.revision ?? 0) + 1
      const at = new Date(1_700_000_000_000 + sequence).toISOString()
      const upload: Upload = {
        id,
        owner,
        state: what,
        intent: { filename: 'a', contentType: 'image/png', size: 1, preset: 'default' },
        findings: {},
        variants: [],
        createdAt: at,
        updatedAt: at,
      }
      stored.set(id, { upload, revision })
      publish({ sequence, revision, upload })
    },
    /** Redis lost what is before this moment: only a snapshot can tell the state. */
    loseHistory(): void {
      epochStart = sequence + 1
      publish('missed')
    },
    lookup: { find: async ({ id }: { id: string }) => read(() => stored.get(id)) },
    records: {
      lastSequence: async () => read(() => sequence),
      changedSince: async (_: string, seen: number) =>
        read(() => (seen < epochStart || seen > sequence ? undefined : after(seen))),
      usersChangedSince: async (_: string, seen: number) =>
        read(() =>
          seen < epochStart || seen > sequence
            ? undefined
            : after(seen).map(({ id, sequence }) => ({ address: { owner, id }, sequence })),
        ),
      recentChanges: async (_: string, seen: number) => read(() => after(seen)),
    },
    listUploads: async () => read(() => ({ uploads: [...stored.values()].map(({ upload }) => upload) })),
    changes: {
      async subscribe(_: string, listener: (change: UploadChange) => void) {
        await read(() => undefined)
        listeners.add(listener)
        return () => void listeners.delete(listener)
      },
    } satisfies UploadChanges,
  }
}

type World = ReturnType<typeof openWorld>

/** Waits until all that could happen by itself has happened. */
async function quiet(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
}

/** Collects what a watch yields, until the world is quiet. @param each called after each event */
async function collect<Event>(
  watch: (signal: AbortSignal) => AsyncIterable<Event>,
  until: () => Promise<void>,
) {
  const stopping = new AbortController()
  const events: Event[] = []
  const running = (async () => {
    for await (const event of watch(stopping.signal)) events.push(event)
  })().catch((error: unknown) => {
    if (!stopping.signal.aborted) throw error
  })
  await until()
  stopping.abort()
  await running
  return events
}

/** What a client shows after these events. */
function viewOf(
  events: readonly OwnerEvent[],
  known: ReadonlyMap<string, string> = new Map(),
): Map<string, string> {
  let view = new Map(known)
  for (const event of events) {
    if (event.kind === 'snapshot')
      view = new Map(event.uploads.map((upload) => [upload.id, upload.updatedAt]))
    else if (event.kind === 'upload') view.set(event.upload.id, event.upload.updatedAt)
    else if (event.kind === 'erased') view.delete(event.id)
  }
  return view
}

const anyWrite = fc.record({
  upload: fc.nat(ids.length - 1),
  what: fc.constantFrom<Write['what']>('awaiting', 'received', 'processing', 'ready', 'erased'),
})
/** Writes between reads; an empty list lets one moment pass. */
const anyWrites = fc.array(fc.array(anyWrite, { maxLength: 2 }), { maxLength: 25 })

test('whatever is written between its reads, a stream of an owner ends in the state of the ledger, in order', async () => {
  await checkProperty(
    fc.asyncProperty(anyWrites, anyWrites, fc.boolean(), async (before, writes, loses) => {
      const moments = writes.values()
      let isRunning = false
      const world = openWorld(() => {
        if (isRunning) for (const write of moments.next().value ?? []) world.write(write)
      })
      for (const write of before.flat()) world.write(write)
      const watchOwner = createWatchOwner(world)
      isRunning = true
      const first = await collect(
        (signal) => watchOwner(owner, undefined, signal),
        async () => {
          await quiet()
          if (loses) world.loseHistory()
          await quiet()
          for (const rest of moments) {
            for (const write of rest) world.write(write)
            await quiet()
          }
        },
      )
      const truth = new Map([...world.stored].map(([id, { upload }]) => [id, upload.updatedAt]))
      const view = viewOf(first)
      assert.equal([...view].toSorted(), [...truth].toSorted())
      assert.is(first[0]?.kind, 'snapshot')
      const sequences = first.flatMap((event) => (event.kind === 'progress' ? [] : [event.sequence]))
      assert.equal(
        sequences,
        sequences.toSorted((one, other) => one - other),
      )
      assert.is(world.listeners.size, 0, 'the subscription ends with the stream')

      // The client disconnects, misses changes, and comes back with its last position.
      for (const write of before.flat().toReversed()) world.write(write)
      const position = sequences.at(-1)
      const second = await collect((signal) => watchOwner(owner, position, signal), quiet)
      const later = new Map([...world.stored].map(([id, { upload }]) => [id, upload.updatedAt]))
      assert.equal([...viewOf(second, view)].toSorted(), [...later].toSorted())
    }),
    { runs: 80 },
  )
})

test('an owner without missed changes gets nothing again after a reconnection, and each missed change once', async () => {
  const world = openWorld()
  world.write({ upload: 0, what: 'received' })
  const watchOwner = createWatchOwner(world)
  assert.equal(await collect((signal) => watchOwner(owner, world.sequence(), signal), quiet), [])
  const position = world.sequence()
  world.write({ upload: 0, what: 'processing' })
  world.write({ upload: 1, what: 'received' })
  const events = await collect(
    (signal) => watchOwner(owner, position, signal),
    async () => {
      await quiet()
      // Of a change that was read already, its message may come late.
      const { upload, revision } = world.stored.get(ids[1] ?? '') ?? {}
      assert.ok(upload && revision)
      world.publish({ sequence: world.sequence(), revision, upload })
      world.publish({ sequence: position, revision: 1, upload })
      await quiet()
    },
  )
  assert.equal(
    events.map((event) => event.kind === 'upload' && [event.upload.id, event.sequence]),
    [
      [ids[0], position + 1],
      [ids[1], position + 2],
    ],
  )
})

test('whatever is written between its reads, a stream of an upload never goes back and ends with its end', async () => {
  const states = fc.array(fc.constantFrom<UploadState>('received', 'processing', 'failed'), { maxLength: 20 })
  await checkProperty(
    fc.asyncProperty(states, fc.boolean(), async (steps, isMissed) => {
      const moments = [...steps, 'ready' as const].values()
      let isRunning = false
      const next = () => {
        const { value, done } = moments.next()
        if (!done) world.write({ upload: 0, what: value })
        return !done
      }
      const world = openWorld(() => void (isRunning && next()))
      world.write({ upload: 0, what: 'awaiting' })
      world.write({ upload: 1, what: 'awaiting' })
      const watchUpload = createWatchUpload(world)
      isRunning = true
      const events = await collect(
        (signal) => watchUpload({ owner, id: ids[0] ?? '' }, signal),
        async () => {
          await quiet()
          if (isMissed) world.publish('missed')
          while (next()) {
            world.write({ upload: 1, what: 'received' })
            await quiet()
          }
          await quiet()
        },
      )
      const revisions = events.flatMap((event) => ('revision' in event ? [event.revision] : []))
      assert.equal(
        revisions,
        [...new Set(revisions)].toSorted((one, other) => one - other),
      )
      const last = events.at(-1)
      assert.ok(last && 'upload' in last)
      // A failed upload is finished as well, so the stream may end there.
      assert.ok(['ready', 'failed'].includes(last.upload.state))
      assert.ok(events.every((event) => 'upload' in event && event.upload.id === ids[0]))
      assert.is(world.listeners.size, 0)
    }),
    { runs: 80 },
  )
})

test('a stream of an upload ends when it is erased, and does not take an older message for its state', async () => {
  const world = openWorld()
  world.write({ upload: 0, what: 'received' })
  const older = world.stored.get(ids[0] ?? '')
  assert.ok(older)
  world.write({ upload: 0, what: 'processing' })
  const watchUpload = createWatchUpload(world)
  const events = await collect(
    (signal) => watchUpload({ owner, id: ids[0] ?? '' }, signal),
    async () => {
      await quiet()
      world.publish({ sequence: 1, ...older })
      await quiet()
      assert.is(world.listeners.size, 1)
      world.write({ upload: 0, what: 'erased' })
      await quiet()
      assert.is(world.listeners.size, 0)
    },
  )
  assert.equal(
    events.map((event) => 'upload' in event && event.upload.state),
    ['processing'],
  )
})

test('whatever is written between its reads, a stream of all users has each last state, or says that it missed some', async () => {
  await checkProperty(
    fc.asyncProperty(anyWrites, anyWrites, fc.boolean(), async (writes, missed, loses) => {
      const moments = writes.values()
      let isRunning = false
      const world = openWorld(() => {
        if (isRunning) for (const write of moments.next().value ?? []) world.write(write)
      })
      const watchUsers = createWatchUsers(world)
      isRunning = true
      const first = await collect((signal) => watchUsers('group', undefined, signal), quiet)
      isRunning = false
      assert.is(first[0]?.kind, 'opened')
      const position = first.at(-1)?.sequence ?? 0
      for (const write of missed.flat()) world.write(write)
      if (loses) world.loseHistory()
      const second = await collect((signal) => watchUsers('group', position, signal), quiet)
      assert.is(world.listeners.size, 0)
      if (loses) {
        assert.is(second[0]?.kind, 'missed')
        return
      }
      const told = new Map<string, string | undefined>()
      for (const event of [...first, ...second]) {
        if (event.kind === 'upload') told.set(event.upload.id, event.upload.updatedAt)
        if (event.kind === 'erased') told.set(event.address.id, undefined)
      }
      for (const [id, at] of told) assert.is(at, world.stored.get(id)?.upload.updatedAt)
      for (const { upload } of missed.flat()) assert.ok(told.has(ids[upload] ?? ''))
    }),
    { runs: 80 },
  )
})

for (const [name, watchOf] of [
  ['an owner', (world: World, signal: AbortSignal) => createWatchOwner(world)(owner, undefined, signal)],
  ['all users', (world: World, signal: AbortSignal) => createWatchUsers(world)('group', undefined, signal)],
  [
    'an upload',
    (world: World, signal: AbortSignal) => createWatchUpload(world)({ owner, id: ids[0] ?? '' }, signal),
  ],
] as const) {
  test(`a stream of ${name} leaves no subscription: its client leaves while it waits or is written to, or Redis fails`, async () => {
    let isDown = false
    const world: World = openWorld(() => {
      if (isDown && world.listeners.size > 0) throw new Error('Redis is down')
    })
    world.write({ upload: 0, what: 'received' })
    const waiting = await collect<unknown>(
      (signal) => watchOf(world, signal),
      async () => {
        await quiet()
        assert.is(world.listeners.size, 1)
      },
    )
    assert.is(waiting.length, 1)
    assert.is(world.listeners.size, 0)

    const written = watchOf(world, new AbortController().signal)
    assert.is((await written.next()).done, false)
    assert.is(world.listeners.size, 1)
    await written.return(undefined)
    assert.is(world.listeners.size, 0)

    isDown = true
    const failed = watchOf(world, new AbortController().signal)
    const error: unknown = await failed.next().catch((thrown: unknown) => thrown)
    assert.is(String(error), 'Error: Redis is down')
    assert.is(world.listeners.size, 0)
  })
}

test('a new epoch of Redis is looked for each two seconds while somebody listens, and is a gap', async () => {
  const intervals = withManualIntervals()
  const subscriber = openSubscriber(process.env['REDIS_URL'] ?? '')
  try {
    let epoch = 1
    const changes = createUploadChanges({
      subscriber,
      prefix: 'test-epoch',
      epoch: { current: async () => epoch },
      log,
    })
    const heard: UploadChange[] = []
    const end = await changes.subscribe(owner, (change) => heard.push(change))
    const endOther = await changes.subscribe('another', () => undefined)
    const [timer, ...others] = intervals.started.filter(({ everyMs }) => everyMs === 2_000)
    assert.ok(timer)
    assert.equal(others, [], 'one for all')
    await timer.run()
    assert.equal(heard, [])
    epoch = 2
    await timer.run()
    await timer.run()
    assert.equal(heard, ['missed'])
    end()
    assert.is(timer.isCleared, false)
    endOther()
    assert.is(timer.isCleared, true)
  } finally {
    subscriber.disconnect()
    intervals.restore()
  }
})

test.run()
