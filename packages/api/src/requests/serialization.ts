import fastJson from 'fast-json-stringify'
import type { FastifySerializerCompiler } from 'fastify'
import type { TSchema } from 'typebox'

type Serialize = ReturnType<FastifySerializerCompiler<TSchema>>

/** A schema always compiles to the same function, so all routes and apps of a process share it. */
const serializers = new WeakMap<TSchema, Serialize>()

/**
 * Compiles the serializer of a response, as Fastify would, but at the first response that needs it. Fastify compiles one for each
 * status of each route when it starts: 235, though they have 32 schemas, because most of them are problems. That takes a third
 * of the API's start.
 */
export const serializerCompiler: FastifySerializerCompiler<TSchema> = ({ schema }) => {
  const known = serializers.get(schema)
  if (known) return known
  let compiled: Serialize | undefined
  const serialize: Serialize = (value) => {
    compiled ??= fastJson(schema)
    return compiled(value)
  }
  serializers.set(schema, serialize)
  return serialize
}
