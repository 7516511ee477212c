import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { FastifyInstance } from 'fastify'

export type Route = {
  method: string
  url: string
  /** Not part of the OpenAPI document. */
  hidden: boolean
  /** Schema of the body; undefined if the route has none. */
  bodySchema: unknown
  /** Its stable name, as in log lines. */
  operation: string | undefined
  /** The scope that its config names; undefined: by the method. */
  scope: string | undefined
  /** Whether bodies are read as JSON. Otherwise the handler receives them unread. */
  readsJson: boolean
}

/**
 * Runs a function that creates an app, and records all routes of that app.
 *
 * @param start creates the app, and possibly others, such as the local SQS
 * @returns the result of `start`; its app's routes, including the HEAD routes that Fastify adds; and `handled`, which
 *   returns how many requests to the app have reached the handler of a route
 */
export async function collectRoutes<Started extends { app: unknown }>(start: () => Promise<Started>) {
  const apps = new Map<unknown, { routes: (() => Route)[]; handled: number }>()
  // Fastify publishes each new instance before a route is added to it.
  const onInstance = (message: unknown) => {
    const { fastify } = message as { fastify: FastifyInstance } // the channel's messages have no type
    const routes: (() => Route)[] = []
    const recorded = { routes, handled: 0 }
    apps.set(fastify, recorded)
    // After authorization, parsing and validation.
    fastify.addHook('preHandler', (request, _reply, done) => {
      if (!request.is404) recorded.handled += 1
      done()
    })
    fastify.addHook('onRoute', function (this: FastifyInstance, options) {
      const { method, url, schema } = options
      const hidden = schema !== undefined && 'hide' in schema && schema.hide === true
      const readsJson = this.hasContentTypeParser('application/json')
      for (const routeMethod of [method].flat()) {
        // Read at the end, because a later hook sets the operation.
        routes.push(() => ({
          method: routeMethod,
          url,
          hidden,
          bodySchema: schema?.body,
          operation: options.config?.operation,
          scope: options.config?.scope,
          readsJson,
        }))
      }
    })
  }
  subscribe('fastify.initialization', onInstance)
  try {
    const started = await start()
    const recorded = apps.get(started.app)
    if (!recorded) throw new Error('The app was not created by `start`.')
    return {
      started,
      routes: recorded.routes.map((describe) => describe()),
      handled: () => recorded.handled,
    }
  } finally {
    unsubscribe('fastify.initialization', onInstance)
  }
}
