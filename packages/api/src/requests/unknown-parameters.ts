import type { FastifyInstance } from 'fastify'
import Type, { type TSchema } from 'typebox'

const noParameters = Type.Object({}, { additionalProperties: false })

/**
 * Makes the routes that are added to a scope from now on refuse query parameters that they do not have, with 400. A parameter
 * that was ignored, such as a filter with a typing mistake, would change what a request means.
 *
 * Pages and their files are not in such a scope: links to them get parameters of other programs.
 */
export function refuseUnknownParameters(scope: FastifyInstance): void {
  scope.addHook('onRoute', (route) => {
    const { querystring } = route.schema ?? {}
    // A new object, because several routes may share one `schema`.
    route.schema = { ...route.schema, querystring: closed(querystring) }
  })
}

/** Returns the schema of a query without further parameters. A schema that says itself which ones it has is kept. */
function closed(schema: unknown): TSchema {
  if (schema === undefined) return noParameters
  if (!Type.IsObject(schema)) return Type.IsSchema(schema) ? schema : noParameters
  return Type.Object(schema.properties, { additionalProperties: false })
}
