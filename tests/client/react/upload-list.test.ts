import type { components } from '@millrace/client'
import * as assert from 'uvu/assert'
import type { Sender, SendingTask } from '../../../packages/client/src/react/upload-item.ts'
import { createUploadList, type UploadListOptions } from '../../../packages/client/src/react/upload-list.ts'
import { suite } from '../../support/suite.ts'

type Upload = components['schemas']['Upload']

const test = suite('list of uploads of the React hook')

/** An upload as the API returns it. */
function uploadOf(id: string, state: Upload['state'], more: Partial<Upload> = {}): Upload {
  return {
    ...{
      id,
      state,
      filename: `${id}.jpg`,
      contentType: 'image/jpeg',
      size: 4,
      preset: 'default',
      variants: [],
    },
    ...{ createdAt: '2026-11-27T12:00:00.000Z', updatedAt: '2026-11-27T12:00:00.000Z' },
    ...more,
  }
}

/** A sender whose files go on when the test says so. */
function controlledSender() {
  type Sending = {
    file: File
    calls: string[]
    options: Parameters<Sender['startUpload']>[1]
    sent: PromiseWithResolvers<Upload>
  }
  type Following = {
    id: string
    options: Parameters<Sender['waitUntilFinished']>[1]
    finished: PromiseWithResolvers<Upload>
  }
  const sending: Sending[] = []
  const following: Following[] = []
  const sender: Sender = {
    startUpload(file, options) {
      const calls: string[] = []
      const sent = Promise.withResolvers<Upload>()
      sending.push({ file, calls, options, sent })
      const task: SendingTask = {
        pause: () => calls.push('pause'),
        resume: () => calls.push('resume'),
        async abort() {
          calls.push('abort')
          sent.reject(new Error('aborted'))
        },
        sent: sent.promise,
      }
      return task
    },
    waitUntilFinished(id, options) {
      const finished = Promise.withResolvers<Upload>()
      options.signal.addEventListener('abort', () => finished.reject(options.signal.reason))
      following.push({ id, options, finished })
      return finished.promise
    },
  }
  return { sender, sending, following }
}

/** A list with a sender that the test controls. `until` waits for a view. */
function createControlled(options: UploadListOptions = {}) {
  const controlled = controlledSender()
  const created = createUploadList(options)
  const list = { ...created, start: (files: File[]) => created.start(files, controlled.sender) }
  const states = () => list.view().uploads.map(({ state }) => state)
  const until = (isReached: () => boolean) =>
    new Promise<void>((resolve) => {
      const check = () => {
        if (!isReached()) return
        unsubscribe()
        resolve()
      }
      const unsubscribe = list.subscribe(check)
      check()
    })
  /** Waits until callbacks of settled promises have run. */
  const settled = () => new Promise((resolve) => setImmediate(resolve))
  return { ...controlled, list, states, until, settled }
}

const fileOf = (name: string, size = 4) => new File([new Uint8Array(size)], name)
const noop = () => undefined

test('a file is sent, followed while it is processed, and ends with its variants', async () => {
  const finished: string[] = []
  const { list, sending, following, states, settled, until } = createControlled({
    onFinished: ({ id }) => finished.push(id),
  })
  const unsubscribe = list.subscribe(noop)
  list.start([fileOf('a.jpg')])
  assert.equal(states(), ['sending'])
  assert.is(list.view().isSending, true)
  sending[0]?.options.onAnnounced('a')
  assert.is(list.view().uploads[0]?.id, 'a')
  sending[0]?.options.onProgress(1, 4)
  await until(() => list.view().progress === 0.25)
  assert.is(list.view().uploads[0]?.progress, 0.25)

  sending[0]?.sent.resolve(uploadOf('a', 'received'))
  await settled()
  assert.equal([states(), list.view().isSending, list.view().progress], [['processing'], false, 1])
  following[0]?.options.onProgress({ id: 'a', step: 'rendering', done: 3, total: 5 })
  await until(() => list.view().uploads[0]?.processing?.done === 3)
  assert.is(list.view().uploads[0]?.processing?.total, 5)

  const variant = {
    name: 'thumbnail',
    url: 'https://m.example/t',
    contentType: 'image/webp',
    width: 1,
    height: 1,
    size: 1,
  }
  following[0]?.finished.resolve(uploadOf('a', 'ready', { variants: [variant] }))
  await settled()
  const [item] = list.view().uploads
  assert.equal([item?.state, item?.variants, item?.processing], ['ready', [variant], undefined])
  assert.equal(finished, ['a'])
  unsubscribe()
})

test('a view stays the same object until something changes', async () => {
  const { list, sending } = createControlled()
  const empty = list.view()
  assert.is(list.view(), empty)
  list.start([fileOf('a.jpg'), fileOf('b.jpg')])
  const [a, b] = list.view().uploads
  assert.is(list.view(), list.view())
  sending[0]?.options.onAnnounced('a')
  const [changedA, sameB] = list.view().uploads
  assert.is.not(changedA, a)
  assert.is(sameB, b)
  assert.is(changedA?.abort, a?.abort)
})

test('only some files are sent at a time, and the next one follows', async () => {
  const { list, sending, states, settled } = createControlled({ concurrentFiles: 2 })
  list.start(['a', 'b', 'c', 'd'].map((name) => fileOf(name)))
  assert.equal(states(), ['sending', 'sending', 'waiting', 'waiting'])
  sending[0]?.sent.resolve(uploadOf('a', 'ready'))
  sending[1]?.sent.reject(new Error('broken'))
  await settled()
  assert.equal(states(), ['ready', 'failed', 'sending', 'sending'])
  assert.equal(
    sending.map(({ file }) => file.name),
    ['a', 'b', 'c', 'd'],
  )
})

test('at most three uploads are followed at a time, because browsers have few connections', async () => {
  const { list, sending, following, settled } = createControlled({ concurrentFiles: 5 })
  const unsubscribe = list.subscribe(noop)
  list.start(['a', 'b', 'c', 'd', 'e'].map((name) => fileOf(name)))
  for (const { file, sent } of sending) sent.resolve(uploadOf(file.name, 'received'))
  await settled()
  assert.is(following.length, 3)
  following[1]?.finished.resolve(uploadOf('b', 'ready'))
  await settled()
  assert.equal(
    following.map(({ id }) => id),
    ['a', 'b', 'c', 'd'],
  )
  unsubscribe()
})

test('a rejected file says why, and so does one whose sending failed', async () => {
  const { list, sending, settled } = createControlled()
  list.start([fileOf('a.exe'), fileOf('b.jpg')])
  sending[0]?.sent.resolve(
    uploadOf('a', 'rejected', { error: { code: 'type_not_allowed', message: 'No programs.' } }),
  )
  sending[1]?.sent.reject(new TypeError('Failed to fetch'))
  await settled()
  assert.equal(
    list.view().uploads.map(({ state, error }) => [state, error]),
    [
      ['rejected', { code: 'type_not_allowed', message: 'No programs.' }],
      ['failed', { code: 'unknown', message: 'Failed to fetch' }],
    ],
  )
})

test('a file can be paused and resumed, and is sent again after a failure', async () => {
  const { list, sending, states, settled } = createControlled()
  list.start([fileOf('a.jpg')])
  list.view().uploads[0]?.pause()
  assert.equal([states(), list.view().isSending], [['paused'], false])
  list.view().uploads[0]?.resume()
  assert.equal(states(), ['sending'])
  assert.equal(sending[0]?.calls, ['pause', 'resume'])
  sending[0]?.sent.reject(new Error('broken'))
  await settled()
  assert.equal(states(), ['failed'])
  list.view().uploads[0]?.resume()
  assert.equal([states(), sending.length, list.view().uploads[0]?.error], [['sending'], 2, undefined])
})

test('an aborted file is erased and does not count; a removed one is not listed', async () => {
  const { list, sending, states, settled } = createControlled()
  list.start([fileOf('a.jpg', 4), fileOf('b.jpg', 6)])
  list.view().uploads[0]?.abort()
  await settled()
  assert.equal(states(), ['aborted', 'sending'])
  assert.equal(sending[0]?.calls, ['abort'])
  assert.is(list.view().uploads[0]?.error, undefined)
  sending[1]?.sent.resolve(uploadOf('b', 'received'))
  await settled()
  assert.is(list.view().progress, 1)
  // It was sent: aborting would be too late, and removing leaves the upload alone.
  list.view().uploads[1]?.abort()
  assert.equal(states(), ['aborted', 'processing'])
  for (const { remove } of list.view().uploads) remove()
  assert.equal([states(), sending[1]?.calls], [[], []])
})

test('without a component, files are sent to the end but not followed, and are followed when it is back', async () => {
  const { list, sending, following, states, settled } = createControlled()
  const unsubscribe = list.subscribe(noop)
  list.start([fileOf('a.jpg'), fileOf('b.jpg')])
  sending[0]?.sent.resolve(uploadOf('a', 'received'))
  await settled()
  assert.is(following.length, 1)
  unsubscribe()
  await settled()
  assert.is(following[0]?.options.signal.aborted, true)
  sending[1]?.sent.resolve(uploadOf('b', 'received'))
  await settled()
  assert.equal([states(), following.length], [['processing', 'processing'], 1])
  const again = list.subscribe(noop)
  assert.equal(
    following.map(({ id }) => id),
    ['a', 'a', 'b'],
  )
  assert.is(list.view().uploads[0]?.error, undefined)
  again()
})

test('a component that comes back at once, as in strict mode, interrupts nothing', async () => {
  const { list, sending, following, settled } = createControlled({ onUnmount: 'abort' })
  const unsubscribe = list.subscribe(noop)
  list.start([fileOf('a.jpg'), fileOf('b.jpg')])
  sending[0]?.sent.resolve(uploadOf('a', 'received'))
  await settled()
  unsubscribe()
  const again = list.subscribe(noop)
  await settled()
  assert.equal([following.length, following[0]?.options.signal.aborted, sending[1]?.calls], [1, false, []])
  again()
  await settled()
  assert.equal([following[0]?.options.signal.aborted, sending[1]?.calls], [true, ['abort']])
})

test('an upload that cannot be followed keeps its state and says why', async () => {
  const { list, sending, following, states, settled } = createControlled()
  const unsubscribe = list.subscribe(noop)
  list.start([fileOf('a.jpg')])
  sending[0]?.sent.resolve(uploadOf('a', 'received'))
  await settled()
  following[0]?.finished.reject(new Error('The token has expired.'))
  await settled()
  assert.equal([states(), list.view().uploads[0]?.error?.message], [['processing'], 'The token has expired.'])
  list.view().uploads[0]?.resume()
  await settled()
  assert.is(following.length, 2)
  unsubscribe()
})

test.run()
