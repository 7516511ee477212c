import type { S3Client } from '@aws-sdk/client-s3'
import type { Subscriber } from '@millrace/shared/connections/subscriber.ts'
import { createAllowedOrigins } from '@millrace/shared/network/allowed-origins.ts'
import { createKeyStore } from '@millrace/shared/tenants/key-store.ts'
import type { TenantUsers } from '@millrace/shared/tenants/tenant-users.ts'
import type { FastifyRequest } from 'fastify'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { type ApiKey, createApiKeys } from '../credentials/api-keys.ts'
import { createIdentityProvider } from '../credentials/identity-provider.ts'
import type { JwtSettings } from '../credentials/jwt-settings.ts'
import { createKeyUses } from '../credentials/key-uses.ts'
import { createRevokedTokens } from '../credentials/revoked-tokens.ts'
import { createStoredKeys } from '../credentials/stored-keys.ts'
import { createUploadTokens } from '../credentials/upload-tokens.ts'
import type { Api } from '../http/api.ts'
import { authorize } from './authorize.ts'
import { createEndedIdentities } from './ended-identities.ts'
import { keySessionRoutes } from './key-session-routes.ts'
import { createNewSessions } from './new-sessions.ts'
import { createRequestOwner } from './request-owner.ts'
import { createSessionCookie, sessionCookieName } from './session-cookie.ts'
import { createSessionRecords } from './session-records.ts'
import { sessionRoutes } from './session-routes.ts'
import { createSignIns } from './sign-ins.ts'

/**
 * Composes sessions, API keys, upload tokens and the app's own identity provider.
 *
 * @param deps.secure whether clients reach the API over HTTPS
 * @returns `owner`, the owner of a request; `callerOf`, the name of the API key or the session of an authorized request;
 *   `cookieName`; `endedIdentities`; upload tokens and their revocations; the API keys that are made at run time; and
 *   `register`, which authorizes all routes of a scope and adds `/session` to it
 */
export function createIdentity(deps: {
  redis: Redis
  subscriber: Subscriber
  prefix: string
  s3: S3Client
  bucket: string
  log: Logger
  secure: boolean
  tenantUsers: TenantUsers
  config: {
    sessionKeys: Buffer[]
    sessionTtlMs: number
    apiKeys: ApiKey[]
    jwt: JwtSettings | undefined
    publicOrigin: string
    publicPath: string
    allowedOrigins: string[]
    openAdmin: boolean
    anonymousUploads: boolean
    maxNewOwnersPerAddressPerHour: number
    instance: string
  }
}) {
  const { redis, subscriber, prefix, s3, bucket, log, secure, tenantUsers, config } = deps
  const { sessionTtlMs: ttlMs, publicOrigin, openAdmin, anonymousUploads, instance } = config
  const cookieName = sessionCookieName({ secure, publicPath: config.publicPath })
  const cookie = createSessionCookie({ keys: config.sessionKeys, ttlMs, secure, name: cookieName })
  const newSessions = createNewSessions({ redis, prefix, limitPerHour: config.maxNewOwnersPerAddressPerHour })
  const sessions = createSessionRecords({ redis, prefix, ttlMs, newSessions })
  const revokedTokens = createRevokedTokens(deps)
  const uploadTokens = createUploadTokens({ sessionKeys: config.sessionKeys, revokedTokens })
  const endedIdentities = createEndedIdentities({ redis, subscriber, prefix, cookie, sessions })
  const keyStore = createKeyStore({ s3, bucket })
  const keyUses = createKeyUses({ redis, prefix })
  const storedKeys = createStoredKeys({ store: keyStore, uses: keyUses, redis, subscriber, prefix, log })

  return {
    owner: createRequestOwner({ cookie, sessions, newSessions, tenantUsers, anonymousUploads }),
    cookieName,
    endedIdentities,
    uploadTokens,
    revokedTokens,
    keyStore,
    keyUses,
    storedKeys,
    callerOf: (request: FastifyRequest) => request.caller?.id ?? cookie.peek(request)?.owner,
    register(scope: Api): void {
      const apiKeys = createApiKeys(config.apiKeys)
      const allowedOrigins = createAllowedOrigins(config)
      // The last one: it takes every JWT for one of the provider's.
      const provider = config.jwt && createIdentityProvider(config.jwt, { log })
      const finders = [uploadTokens.find, apiKeys.find, storedKeys.find, ...(provider ? [provider.find] : [])]
      const findKey = (id: string) => apiKeys.findById(id) ?? storedKeys.findById(id)
      const keyFinders = [apiKeys.find, storedKeys.find]
      const signIns = createSignIns({ finders, keyFinders, findKey, sessions })
      authorize(scope, {
        finders,
        publicOrigin,
        allowedOrigins,
        openAdmin,
        anonymousUploads,
        cookie,
        sessions,
        signIns,
      })
      scope.addHook('onReady', async () => storedKeys.start())
      scope.addHook('onClose', async () => storedKeys.stop())
      cookie.register(scope)
      scope.addHook('onClose', async () => revokedTokens.close())
      sessionRoutes(scope, { cookie, sessions, signIns, endedIdentities, instance })
      keySessionRoutes(scope, { cookie, sessions, signIns, endedIdentities, instance })
    },
  }
}
