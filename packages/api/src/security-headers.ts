import helmet from '@fastify/helmet'
import type { FastifyInstance } from 'fastify'

const hstsSeconds = 365 * 24 * 60 * 60

/**
 * Headers on every answer that keep browsers from making more of it than it is: an answer that somebody opens
 * as a page runs nothing, loads nothing, is framed by nobody, and is of the type that it says. Routes that
 * serve pages set a policy of their own over this one.
 *
 * @param options.secure whether browsers come over https and shall keep to it
 */
export async function securityHeaders(app: FastifyInstance, { secure }: { secure: boolean }): Promise<void> {
  await app.register(helmet, {
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
}
