import type { BudgetHolder } from '@millrace/shared/service/budget.ts'
import type { FastifyRequest } from 'fastify'
import { clientAddress } from '../http/client-address.ts'

/** Returns to whom a request's share of a budget counts: to its owner and, without a caller, to its address. */
export function budgetHolder<Owner extends string | undefined>(
  request: FastifyRequest,
  owner: Owner,
): BudgetHolder & { owner: Owner } {
  return { owner, ...(request.caller === null && { address: clientAddress(request) }) }
}
