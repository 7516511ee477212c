import { createBudget } from '@millrace/shared/network/budget.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('budget')

const create = (limits: { instance?: number; owner?: number; address?: number }) =>
  createBudget({
    unit: 'event streams',
    code: 'too_many_streams',
    limits: { instance: 0, owner: 0, address: 0, ...limits },
  })

function refusal(take: () => unknown): AppError {
  try {
    take()
  } catch (error) {
    if (error instanceof AppError) return error
    throw error
  }
  throw new Error('Nothing was refused.')
}

test('an owner, an address and the instance have limits of their own', () => {
  const budget = create({ instance: 3, owner: 2, address: 2 })
  budget.take({ owner: 'a', address: '192.0.2.1' })
  budget.take({ owner: 'a', address: '192.0.2.2' })
  assert.is(refusal(() => budget.take({ owner: 'a', address: '192.0.2.3' })).code, 'too_many_streams')
  budget.take({ owner: 'b', address: '192.0.2.1' })
  assert.is(refusal(() => budget.take({ owner: 'c', address: '192.0.2.1' })).code, 'too_many_streams')
  assert.is(refusal(() => budget.take({ owner: 'c', address: '192.0.2.4' })).code, 'overloaded')
  assert.is(budget.used(), 3)
})

test('a refusal says the limit, what is left and when to try again', () => {
  const budget = create({ owner: 10 })
  budget.take({ owner: 'a' }, 7)
  const error = refusal(() => budget.take({ owner: 'a' }, 4))
  assert.is(error.message, 'The limit is 10 event streams at once for one owner; 3 are left.')
  assert.equal([error.limit, error.remaining, error.retryable], [10, 3, true])
  assert.ok((error.retryAfterSeconds ?? 0) > 0)
})

test('what is released can be taken again, and a second release frees nothing', () => {
  const budget = create({ instance: 2, owner: 2 })
  const first = budget.take({ owner: 'a' })
  budget.take({ owner: 'a' })
  first.release()
  first.release()
  assert.is(budget.used(), 1)
  budget.take({ owner: 'a' })
  refusal(() => budget.take({ owner: 'a' }))
})

test('addresses of one IPv6 network share a limit, and its site may use more', () => {
  const budget = create({ address: 1 })
  budget.take({ address: '2001:db8:1:2::1' })
  refusal(() => budget.take({ address: '2001:db8:1:2::2' }))
  for (let network = 3; network < 10; network++) budget.take({ address: `2001:db8:1:${network}::1` })
  refusal(() => budget.take({ address: '2001:db8:1:10::1' }))
  budget.take({ address: '2001:db8:2::1' })
})

test('a holder without owner and address counts to the instance alone, and 0 is no limit', () => {
  const budget = create({ instance: 2 })
  budget.take({})
  budget.take({ owner: 'a', address: '192.0.2.1' })
  assert.is(refusal(() => budget.take({})).code, 'overloaded')
})

test.run()
