import type { TenantUsers } from '@millrace/shared/tenants/tenant-users.ts'
import type { FastifyRequest } from 'fastify'
import type { Redis } from 'ioredis'
import type { Api } from '../http/api.ts'
import { type ApiKey, createApiKeys } from './api-keys.ts'
import { authorize } from './authorize.ts'
import { createEndedIdentities } from './ended-identities.ts'
import { createNewSessions } from './new-sessions.ts'
import { createRequestOwner } from './request-owner.ts'
import { createSessionCookie, sessionCookieName } from './session-cookie.ts'
import { createSessionRecords } from './session-records.ts'
import { sessionRoutes } from './session-routes.ts'

/**
 * Composes sessions and API keys.
 *
 * @param deps.subscriber a Redis connection that subscribes
 * @param deps.secure whether clients reach the API over HTTPS
 * @returns `owner`, the owner of a request; `callerOf`, the name of the API key or the session of an authorized request;
 *   `cookieName`; `endedIdentities`; and `register`, which authorizes all routes of a scope and adds `/session` to it
 */
export function createIdentity(deps: {
  redis: Redis
  subscriber: Redis
  prefix: string
  secure: boolean
  tenantUsers: TenantUsers
  config: {
    sessionKeys: Buffer[]
    sessionTtlMs: number
    apiKeys: ApiKey[]
    publicOrigin: string
    openAdmin: boolean
    anonymousUploads: boolean
    maxNewOwnersPerAddressPerHour: number
    instance: string
  }
}) {
  const { redis, subscriber, prefix, secure, tenantUsers, config } = deps
  const { sessionTtlMs: ttlMs, publicOrigin, openAdmin, anonymousUploads, instance } = config
  const cookie = createSessionCookie({ keys: config.sessionKeys, ttlMs, secure })
  const newSessions = createNewSessions({ redis, prefix, limitPerHour: config.maxNewOwnersPerAddressPerHour })
  const sessions = createSessionRecords({ redis, prefix, ttlMs, newSessions })
  const endedIdentities = createEndedIdentities({ redis, subscriber, prefix, cookie, sessions })

  return {
    owner: createRequestOwner({ cookie, sessions, newSessions, tenantUsers, anonymousUploads }),
    cookieName: sessionCookieName(secure),
    endedIdentities,
    callerOf: (request: FastifyRequest) => request.caller?.id ?? cookie.peek(request)?.owner,
    register(scope: Api): void {
      const apiKeys = createApiKeys(config.apiKeys)
      authorize(scope, { finders: [apiKeys.find], publicOrigin, openAdmin, anonymousUploads })
      cookie.register(scope)
      sessionRoutes(scope, { cookie, sessions, endedIdentities, instance })
    },
  }
}
