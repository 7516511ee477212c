/** The type of files of which nothing is declared. */
export const unknownType = 'application/octet-stream'

/** A media type (RFC 6838, 4.2), and its parameters. S3 stores both as a header. */
const declaredType = /^([A-Za-z0-9!#$&^_.+-]{1,127}\/[A-Za-z0-9!#$&^_.+-]{1,127})(?: ?;[ -~]{0,127})?$/

/**
 * Returns the content type to store for a file. It decides nothing, so nothing is refused because of it: clients send kinds
 * (`image/*`), half a type (`image`) and empty text.
 *
 * @param declared by the client
 * @returns what was declared, without parameters that are not valid; `application/octet-stream` if it is no media type
 */
export function storedType(declared: string | undefined): string {
  const text = declared?.trim() ?? ''
  if (declaredType.test(text)) return text
  const [, withoutParameters] = declaredType.exec(text.split(';')[0]?.trim() ?? '') ?? []
  return withoutParameters ?? unknownType
}
