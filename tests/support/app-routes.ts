import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { FastifyInstance } from 'fastify'

export type Route = {
  method: string
  url: string
  /** Left out of the OpenAPI document. */
  hidden: boolean
  /** Of the body; undefined where none is looked at. */
  bodySchema: unknown
  /** Its stable name, as log lines have it. */
  operation: string | undefined
  /** Bodies are read as JSON; otherwise they reach the handler unread. */
  readsJson: boolean
}

/**
 * Runs something that makes an app, and notes every route that is added to it, whoever adds it.
 *
 * @param start makes the app, and maybe others, such as the local SQS
 * @returns what `start` gave, and its app's routes, those of HEAD that Fastify adds by itself included
 */
export async function collectRoutes<Started extends { app: unknown }>(start: () => Promise<Started>) {
  const routesOfApps = new Map<unknown, (() => Route)[]>()
  // Fastify tells of every instance that is made, before any route is added to it.
  const onInstance = (message: unknown) => {
    const { fastify } = message as { fastify: FastifyInstance } // the channel's types say nothing
    const routes: (() => Route)[] = []
    routesOfApps.set(fastify, routes)
    fastify.addHook('onRoute', function (this: FastifyInstance, options) {
      const { method, url, schema } = options
      const hidden = schema !== undefined && 'hide' in schema && schema.hide === true
      const readsJson = this.hasContentTypeParser('application/json')
      for (const one of [method].flat()) {
        // Read at the end, because a later hook sets the operation.
        routes.push(() => ({
          method: one,
          url,
          hidden,
          bodySchema: schema?.body,
          operation: options.config?.operation,
          readsJson,
        }))
      }
    })
  }
  subscribe('fastify.initialization', onInstance)
  try {
    const started = await start()
    const routes = routesOfApps.get(started.app)
    if (!routes) throw new Error('The app was not made while its routes were noted.')
    return { started, routes: routes.map((describe) => describe()) }
  } finally {
    unsubscribe('fastify.initialization', onInstance)
  }
}
