import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { shareInProcess } from '../../support/shared-resources.ts'
import { startSystem } from '../../support/start-millrace.ts'

/** One tenant for each file that has one, so that none sees the uploads of another. */
export const apiKeys = {
  client: newApiKey('client', ['uploads:read', 'uploads:write']),
  integrate: newApiKey('integrate', ['tokens', 'tenant']),
  otherOrigins: newApiKey('other-origins', ['uploads:read', 'uploads:write']),
  sendingPages: newApiKey('sending-pages', ['uploads:read', 'uploads:write', 'tokens']),
}

/** An identity provider of the tenant of `integrate`. */
export const jwt = {
  secret: 'a secret of thirty-two bytes or more',
  issuer: 'https://idp.example',
  audience: 'millrace',
}

/**
 * Starts Millrace, and a server of pages of other origins which may call it, once for all files that need no settings of
 * their own. Files have their own sessions and tenants in it.
 */
export const openSharedSystem = shareInProcess(async () => {
  let listener: RequestListener = (_request, response) => response.writeHead(404).end()
  const frontend = createServer((request, response) => listener(request, response)).listen(0, '127.0.0.1')
  await once(frontend, 'listening')
  const address = frontend.address()
  if (address === null || typeof address === 'string') throw new Error('The server has no port.')
  const { port } = address
  frontend.unref()
  const system = await startSystem([], {
    API_KEYS: Object.values(apiKeys)
      .map(({ entry }) => entry)
      .join(),
    ALLOWED_ORIGINS: `http://localhost:${port},http://127.0.0.1:${port}`,
    JWT_SECRET: jwt.secret,
    JWT_ISSUER: jwt.issuer,
    JWT_AUDIENCE: jwt.audience,
    JWT_TENANT: 'integrate',
    // All files are one address.
    MAX_UNFINISHED_UPLOADS_PER_ADDRESS: '0',
    RATE_LIMIT_PER_MINUTE: '0',
    RATE_LIMIT_PER_ADDRESS_PER_MINUTE: '0',
    PRESETS: JSON.stringify([
      { name: 'tiny', variants: [{ name: 'dot', fit: 'inside', width: 40, format: 'webp' }] },
    ]),
  })
  system.share()
  return {
    /** The origin of the API and the console, `http://localhost` with a port. */
    url: system.url,
    processes: system.processes,
    /** `http://localhost` with the port of the pages: the same site as the API. */
    sameSite: `http://localhost:${port}`,
    /** The same pages on another site. */
    otherSite: `http://127.0.0.1:${port}`,
    frontendPort: port,
    /** Answers the requests for pages of other origins, from now on. */
    serve(newListener: RequestListener) {
      listener = newListener
    },
    async close() {
      frontend.close()
      frontend.closeAllConnections()
      await system.close()
    },
  }
})

export type SharedSystem = Awaited<ReturnType<typeof openSharedSystem>>
