import type { Redis } from 'ioredis'
import type { Api } from '../http/api.ts'
import { type ApiKey, createApiKeys } from './api-keys.ts'
import { authorize } from './authorize.ts'
import { createEndedIdentities } from './ended-identities.ts'
import { createRequestOwner } from './request-owner.ts'
import { createSessionCookie, sessionCookieName } from './session-cookie.ts'
import { createSessionRecords } from './session-records.ts'
import { sessionRoutes } from './session-routes.ts'

/**
 * Composes sessions and API keys.
 *
 * @param deps.subscriber a Redis connection that subscribes
 * @param deps.secure whether clients reach the API over HTTPS
 * @returns `owner`, the owner of a request; `cookieName`; `endedIdentities`; and `register`, which authorizes all routes of a scope and adds
 *   `/session` to it
 */
export function createIdentity(deps: {
  redis: Redis
  subscriber: Redis
  prefix: string
  secure: boolean
  config: {
    sessionKeys: Buffer[]
    sessionTtlMs: number
    apiKeys: ApiKey[]
    publicOrigin: string
    openAdmin: boolean
    instance: string
  }
}) {
  const { redis, subscriber, prefix, secure, config } = deps
  const { sessionTtlMs: ttlMs, publicOrigin, openAdmin, instance } = config
  const cookie = createSessionCookie({ keys: config.sessionKeys, ttlMs, secure })
  const sessions = createSessionRecords({ redis, prefix, ttlMs })
  const endedIdentities = createEndedIdentities({ redis, subscriber, prefix, cookie, sessions })

  return {
    owner: createRequestOwner({ cookie, sessions }),
    cookieName: sessionCookieName(secure),
    endedIdentities,
    register(scope: Api): void {
      authorize(scope, { apiKeys: createApiKeys(config.apiKeys), publicOrigin, openAdmin })
      cookie.register(scope)
      sessionRoutes(scope, { cookie, sessions, endedIdentities, instance })
    },
  }
}
