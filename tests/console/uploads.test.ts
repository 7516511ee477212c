import type { Upload } from '@millrace/client'
import * as assert from 'uvu/assert'
import { moveFocus } from '../../packages/console/src/uploads/move-focus.ts'
import { changedMetadata } from '../../packages/console/src/uploads/panel/changed-metadata.ts'
import { savingText } from '../../packages/console/src/uploads/panel/saving-text.ts'
import { describeFailures } from '../../packages/console/src/uploads/store/bulk.ts'
import { createSelection } from '../../packages/console/src/uploads/store/selection.ts'
import {
  listFilterOf,
  matchesQuery,
  readQuery,
  type UploadQuery,
  writeQuery,
} from '../../packages/console/src/uploads/store/upload-query.ts'
import { createUploadStore } from '../../packages/console/src/uploads/store/upload-store.ts'
import { suite } from '../support/suite.ts'

const test = suite('uploads of the console')

const all: UploadQuery = { search: '', states: [], order: 'newest', user: '' }

/** An upload whose id ends with a number: a larger one is newer. */
function upload(number: number, changes: Partial<Upload> = {}): Upload {
  return {
    id: idOf(number),
    state: 'ready',
    filename: `photo ${number}.jpg`,
    contentType: 'image/jpeg',
    size: 1,
    preset: 'default',
    variants: [],
    createdAt: '2026-01-01T00:00:00.000Z',
    updatedAt: '2026-01-01T00:00:00.000Z',
    ...changes,
  }
}

function idOf(number: number): string {
  return `019aa1f0-0000-7000-8000-${String(number).padStart(12, '0')}`
}

function storeWith(numbers: number[], query: Partial<UploadQuery> = {}, end?: number) {
  const store = createUploadStore({ query: () => ({ ...all, ...query }) })
  const until = end === undefined ? undefined : idOf(end)
  store.end.value = until
  store.setStretch(
    numbers.map((number) => upload(number)),
    { until },
    store.now(),
  )
  return { store, shown: () => store.ids.value.map((id) => Number(id.slice(-12))) }
}

test('the query is read from the address and written into it, beside its other parameters', () => {
  const address = new URLSearchParams('search=a+b&state=failed,ready,nonsense&order=oldest&upload=7')
  const query = readQuery(address)
  assert.equal(query, { search: 'a b', states: ['ready', 'failed'], order: 'oldest', user: '' })
  assert.is(writeQuery(address, all).toString(), 'upload=7')
  assert.is(writeQuery(new URLSearchParams('upload=7'), query).get('state'), 'ready,failed')
})

test('what is typed is the beginning of a name, and words with an equals sign are metadata', () => {
  const search = ' summer at album=2026 the lake camera.make=X100 '
  assert.equal(listFilterOf({ ...all, search }), {
    order: 'newest',
    prefix: 'summer at the lake',
    metadata: { album: '2026', 'camera.make': 'X100' },
  })
})

test('an upload matches a query as the API decides it', () => {
  const found = upload(1, { metadata: { album: 'a' }, state: 'failed' })
  assert.ok(matchesQuery(found, { ...all, search: 'photo album=a', states: ['failed'] }))
  assert.not(matchesQuery(found, { ...all, search: 'Photo' }))
  assert.not(matchesQuery(found, { ...all, search: 'album=b' }))
  assert.not(matchesQuery(found, { ...all, states: ['ready'] }))
  assert.not(matchesQuery(found, { ...all, user: 'ada' }))
})

test('an event adds an upload at its place, in both orders', () => {
  const newest = storeWith([9, 7, 5])
  newest.store.tell(upload(8))
  assert.equal(newest.shown(), [9, 8, 7, 5])
  const oldest = storeWith([5, 7, 9], { order: 'oldest' })
  oldest.store.tell(upload(8))
  assert.equal(oldest.shown(), [5, 7, 8, 9])
})

test('an event about an upload beyond the last page that was loaded adds nothing', () => {
  const { store, shown } = storeWith([9, 7], {}, 7)
  store.tell(upload(3))
  assert.equal(shown(), [9, 7])
})

test('an upload that no longer matches the filter leaves the list', () => {
  const { store, shown } = storeWith([9, 7], { states: ['ready'] })
  store.tell(upload(7, { state: 'received', updatedAt: '2026-01-01T00:00:01.000Z' }))
  assert.equal(shown(), [9])
})

test('a change of one upload does not change the order, nor the others', () => {
  const { store } = storeWith([9, 7])
  const before = store.ids.value
  const other = store.entryOf(idOf(9)).value
  store.tell(upload(7, { filename: 'photo new.jpg', updatedAt: '2026-01-01T00:00:01.000Z' }))
  assert.is(store.ids.value, before)
  assert.is(store.entryOf(idOf(9)).value, other)
  assert.is(store.entryOf(idOf(7)).value?.upload.filename, 'photo new.jpg')
})

test('a page that arrives late does not undo a newer event', () => {
  const { store, shown } = storeWith([9])
  const since = store.now()
  store.tell(upload(8, { state: 'received', updatedAt: '2026-01-01T00:00:05.000Z' }))
  store.setStretch([upload(9), upload(8)], {}, since)
  assert.is(store.entryOf(idOf(8)).value?.upload.state, 'received')
  store.tell(upload(10))
  store.setStretch([upload(9), upload(8)], {}, since)
  assert.equal(shown(), [10, 9, 8])
})

test('what a stretch does not name is gone from it, and stays elsewhere', () => {
  const { store, shown } = storeWith([9, 8, 7, 6, 5])
  store.setStretch([upload(8)], { after: idOf(9), until: idOf(7) }, store.now())
  assert.equal(shown(), [9, 8, 6, 5])
})

test('an erased upload does not come back with a late page or event', () => {
  const { store, shown } = storeWith([9, 8])
  const gone: string[] = []
  store.onErased((ids) => gone.push(...ids))
  store.erase([idOf(8)])
  store.tell(upload(8))
  store.setStretch([upload(9), upload(8)], {}, store.now())
  assert.equal(shown(), [9])
  assert.equal(gone, [idOf(8)])
})

test('new uploads wait while the reader is further down, and appear together', () => {
  const { store, shown } = storeWith([3, 2])
  store.hold(true)
  store.tell(upload(4))
  store.tell(upload(5))
  assert.equal(shown(), [3, 2])
  assert.is(store.held.value.length, 2)
  store.hold(false)
  assert.equal(shown(), [5, 4, 3, 2])
})

test('a selection extends from where it began, and shrinks again', () => {
  const selection = createSelection()
  const order = ['a', 'b', 'c', 'd', 'e']
  const selected = () => [...selection.ids.value].sort().join('')
  selection.toggle('b')
  selection.extendTo('d', order)
  assert.is(selected(), 'bcd')
  selection.extendTo('c', order)
  assert.is(selected(), 'bc')
  selection.toggle('e')
  selection.extendTo('d', order)
  assert.is(selected(), 'bcde')
  selection.remove(new Set(['c']))
  assert.is(selected(), 'bde')
  selection.clear()
  assert.is(selected(), '')
})

test('keys move in a grid, also from a row above the gap of the last one', () => {
  const key = (name: string) => ({ key: name, ctrlKey: false, metaKey: false, altKey: false })
  const place = { count: 8, columns: 3, visibleRows: 2 }
  const next = (name: string, index: number) => moveFocus(key(name), { ...place, index })
  assert.is(next('ArrowRight', 2), 3)
  assert.is(next('ArrowDown', 1), 4)
  assert.is(next('ArrowDown', 5), 7)
  assert.is(next('ArrowDown', 7), 7)
  assert.is(next('ArrowUp', 1), 1)
  assert.is(next('End', 0), 7)
  assert.is(next('PageUp', 7), 1)
  assert.is(next('x', 0), undefined)
  assert.is(moveFocus(key('ArrowRight'), { ...place, columns: 1, index: 0 }), undefined)
})

test('savings are percentages, and a variant with bytes never saves all of them', () => {
  assert.is(savingText(9, 100), '−91\u00a0%')
  assert.is(savingText(112, 100), '+12\u00a0%')
  assert.is(savingText(1, 100_000), '−99\u00a0%')
  assert.is(savingText(100, 100), 'same size')
})

test('only changed fields of the metadata are sent, and those that were removed as null', () => {
  const fields = [
    { key: 0, name: 'a', value: '1' },
    { key: 1, name: 'c', value: '3' },
    { key: 2, name: '', value: 'unnamed' },
  ]
  assert.equal(changedMetadata({ a: '1', b: '2' }, fields), { b: null, c: '3' })
})

test('failures of many uploads are told by reason, the most frequent first', () => {
  const failures = new Map([
    ['Rare.', ['a']],
    ['Often.', ['b', 'c']],
  ])
  assert.is(describeFailures(failures), 'Often. (2 times) Rare.')
})

test.run()
