import { AppError } from '@millrace/shared/service/app-error.ts'
import type { FastifyRequest } from 'fastify'

/**
 * Returns the tenant that a request administers: its caller's. So nothing of another tenant can be named.
 * @throws AppError `unauthenticated` without a caller; `authorize` has refused such a request already
 */
export function tenantOf(request: FastifyRequest): string {
  if (!request.caller) throw new AppError('unauthenticated')
  return request.caller.tenant
}
