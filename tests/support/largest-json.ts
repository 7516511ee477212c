import Type, { type TSchema } from 'typebox'

/** Bytes of a character beyond Unicode's first plane, escaped as its two surrogates. */
const escapedBytes = '\\ud83d\\ude00'.length

/**
 * Returns the maximum size of a schema's values as JSON without white space, in bytes.
 *
 * @returns infinity if the schema sets no limit, or sets it only with a pattern
 */
export function largestJsonBytes(schema: TSchema): number {
  if (Type.IsUnion(schema)) return Math.max(...schema.anyOf.map(largestJsonBytes))
  if (Type.IsLiteral(schema)) return JSON.stringify(schema.const).length
  if (Type.IsBoolean(schema)) return 'false'.length
  if (Type.IsNull(schema)) return 'null'.length
  if (Type.IsInteger(schema)) {
    const bounds = [
      limitOf(schema, 'minimum') ?? Number.MIN_SAFE_INTEGER,
      limitOf(schema, 'maximum') ?? Number.MAX_SAFE_INTEGER,
    ]
    return Math.max(...bounds.map((bound) => String(bound).length))
  }
  if (Type.IsString(schema))
    return 2 + (limitOf(schema, 'maxLength') ?? Number.POSITIVE_INFINITY) * escapedBytes
  if (Type.IsArray(schema)) {
    const items = limitOf(schema, 'maxItems') ?? Number.POSITIVE_INFINITY
    return 2 + items * (largestJsonBytes(schema.items) + 1)
  }
  if (!Type.IsObject(schema)) return Number.POSITIVE_INFINITY
  return Object.entries(schema.properties).reduce(
    (bytes, [name, property]) => bytes + JSON.stringify(name).length + 2 + largestJsonBytes(property),
    2,
  )
}

/** Reads a limit of a schema that TypeBox' types do not declare. */
function limitOf(schema: TSchema, name: string): number | undefined {
  const limit: unknown = Reflect.get(schema, name)
  return typeof limit === 'number' ? limit : undefined
}
