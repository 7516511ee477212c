import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { FastifyInstance } from 'fastify'

export type Route = { method: string; url: string }

/**
 * Runs something that makes an app, and notes every route that is added to it, whoever adds it.
 *
 * @returns what `start` gave, and the routes, those of HEAD that Fastify adds by itself included
 */
export async function collectRoutes<Started>(start: () => Promise<Started>) {
  const routes: Route[] = []
  // Fastify tells of every instance that is made, before any route is added to it.
  const onInstance = (message: unknown) => {
    const { fastify } = message as { fastify: FastifyInstance } // typed `unknown` by the channel
    fastify.addHook('onRoute', ({ method, url }) => {
      for (const one of [method].flat()) routes.push({ method: one, url })
    })
  }
  subscribe('fastify.initialization', onInstance)
  try {
    return { started: await start(), routes }
  } finally {
    unsubscribe('fastify.initialization', onInstance)
  }
}
