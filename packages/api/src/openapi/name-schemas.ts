import { isDeepStrictEqual } from 'node:util'

type Json = Record<string, unknown>

/**
 * Moves every schema that has a title out of a document, and refers to it by that name from where it was.
 * Types that are generated from the document then have the names that we use.
 *
 * Records, which TypeBox writes as one `patternProperties`, become `additionalProperties` with
 * `propertyNames`, which means the same and is what generators know.
 *
 * @throws Error where two different schemas have the same title
 */
export function nameSchemas(document: Json): { value: Json; schemas: Record<string, Json> } {
  const schemas: Record<string, Json> = {}
  return { value: walkObject(document, true), schemas }

  function walk(value: unknown, isSchema: boolean): unknown {
    if (Array.isArray(value)) return value.map((item) => walk(item, isSchema))
    if (typeof value !== 'object' || value === null) return value
    return walkObject({ ...value }, isSchema)
  }

  function walkObject(object: Json, isSchema: boolean): Json {
    const walked = Object.fromEntries(
      Object.entries(withoutPatterns(object)).map(([key, value]) => [
        key,
        // Examples may have a title of their own.
        walk(value, isSchema && key !== 'example' && key !== 'examples'),
      ]),
    )
    const { title, ...schema } = walked
    if (!isSchema || typeof title !== 'string') return walked
    const known = schemas[title]
    if (known && !isDeepStrictEqual(known, schema)) throw new Error(`Two schemas have the title ${title}.`)
    schemas[title] = schema
    return { $ref: `#/components/schemas/${title}` }
  }
}

function withoutPatterns(object: Json): Json {
  const { patternProperties, ...rest } = object
  if (typeof patternProperties !== 'object' || patternProperties === null) return object
  const [only, ...others] = Object.entries(patternProperties)
  if (!only || others.length > 0) return object
  const [pattern, schema] = only
  return { ...rest, additionalProperties: schema, ...(pattern !== '^.*$' && { propertyNames: { pattern } }) }
}
