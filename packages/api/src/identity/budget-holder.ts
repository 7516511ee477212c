import type { BudgetHolder } from '@millrace/shared/network/budget.ts'
import type { FastifyRequest } from 'fastify'
import type { Caller } from '../credentials/caller.ts'
import { clientAddress } from '../http/client-address.ts'

/**
 * Returns to whom a request's share of a budget counts: to its owner and, without a caller, to its address. The caller, if
 * there is one, tells the limits of its token.
 */
export function budgetHolder<Owner extends string | undefined>(
  request: FastifyRequest,
  owner: Owner,
): BudgetHolder & { owner: Owner; caller?: Caller } {
  const { caller } = request
  return { owner, ...(caller ? { caller } : { address: clientAddress(request) }) }
}
