import { isDeepStrictEqual } from 'node:util'

type Json = Record<string, unknown>

/**
 * Moves each schema with a title out of a document and replaces it by a reference to that title. Types that
 * are generated from the document then have our names.
 *
 * TypeBox writes a record as one `patternProperties`. It becomes `additionalProperties` with `propertyNames`,
 * which means the same and which type generators support.
 *
 * @returns the document with references, and the schemas by title
 * @throws Error if two different schemas have the same title
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
        // Examples are data: their field `title` is not a schema's title.
        walk(value, isSchema && key !== 'example' && key !== 'examples'),
      ]),
    )
    const { title, ...schema } = walked
    if (!isSchema || typeof title !== 'string') return walked
    const earlier = schemas[title]
    if (earlier && !isDeepStrictEqual(earlier, schema))
      throw new Error(`Two schemas have the title ${title}.`)
    schemas[title] = schema
    return { $ref: `#/components/schemas/${title}` }
  }
}

function withoutPatterns(object: Json): Json {
  const { patternProperties, ...rest } = object
  if (typeof patternProperties !== 'object' || patternProperties === null) return object
  const [first, ...others] = Object.entries(patternProperties)
  if (!first || others.length > 0) return object
  const [pattern, schema] = first
  return { ...rest, additionalProperties: schema, ...(pattern !== '^.*$' && { propertyNames: { pattern } }) }
}
