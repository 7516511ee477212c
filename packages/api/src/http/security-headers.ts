import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import helmet, { type HelmetOptions } from 'helmet'

const hstsSeconds = 365 * 24 * 60 * 60

/**
 * Headers on every answer that keep browsers from making more of it than it is: an answer that somebody opens
 * as a page runs nothing, loads nothing, is framed by nobody, and is of the type that it says. Routes that
 * serve pages set a policy of their own over this one.
 *
 * Helmet says once what they are: `@fastify/helmet` makes them anew for each request, which cost a tenth of
 * `GET /session`.
 *
 * @param options.secure whether browsers come over https and shall keep to it
 */
export function securityHeaders(app: FastifyInstance, { secure }: { secure: boolean }): void {
  const headers = headersOf({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        baseUri: ["'none'"],
        formAction: ["'none'"],
        frameAncestors: ["'none'"],
        sandbox: [],
      },
    },
    crossOriginResourcePolicy: { policy: 'same-origin' },
    referrerPolicy: { policy: 'no-referrer' },
    // Subdomains of a domain that is not ours to speak for are left out.
    strictTransportSecurity: secure && { maxAge: hstsSeconds, includeSubDomains: false },
    xFrameOptions: { action: 'deny' },
    // Of no use to the browsers of today.
    xDownloadOptions: false,
    xPermittedCrossDomainPolicies: false,
    xXssProtection: false,
    xDnsPrefetchControl: false,
  })
  app.addHook('onRequest', (_request, reply, done) => {
    reply.headers(headers)
    done()
  })
}

/** What Helmet puts on an answer. */
function headersOf(options: HelmetOptions): Record<string, string> {
  const request = new IncomingMessage(new Socket())
  const response = new ServerResponse(request)
  helmet(options)(request, response, (error) => {
    if (error) throw error
  })
  return Object.fromEntries(
    Object.entries(response.getHeaders()).map(([name, value]) => [name, String(value)]),
  )
}
