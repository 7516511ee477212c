import secureSession from '@fastify/secure-session'
import type { FastifyInstance } from 'fastify'

declare module '@fastify/secure-session' {
  interface SessionData {
    user: string
  }
}

const signInSchema = {
  body: {
    type: 'object',
    required: ['name'],
    properties: { name: { type: 'string', pattern: '^[\\p{L}\\p{N} .-]{1,40}$' } },
  },
} as const

/**
 * Sign-in by name alone, so that the example needs no accounts: whoever says to be Ada is Ada. Replace it with your own.
 *
 * @returns `userOf`: the user of a request by its cookie
 */
export async function signInRoutes(app: FastifyInstance, { sessionKey }: { sessionKey: Buffer }) {
  await app.register(secureSession, {
    key: sessionKey,
    cookieName: 'album',
    // Lax: requests that pages of other sites make have no cookie.
    cookie: { path: '/', httpOnly: true, sameSite: 'lax' },
  })

  app.get('/api/user', async (request) => ({ name: request.session.get('user') ?? null }))

  app.put<{ Body: { name: string } }>('/api/user', { schema: signInSchema }, async (request) => {
    const name = request.body.name.trim()
    request.session.regenerate()
    request.session.set('user', name)
    return { name }
  })

  app.delete('/api/user', async (request) => {
    request.session.delete()
    return { name: null }
  })

  return {
    userOf(request: Request): string | undefined {
      const cookie = app.parseCookie(request.headers.get('cookie') ?? '')['album']
      return cookie === undefined ? undefined : app.decodeSecureSession(cookie)?.get('user')
    },
  }
}
