import type { FieldError } from '@millrace/shared/service/app-error.ts'

/**
 * Finds text that Millrace does not accept from clients, in a value and in all that it contains, names included:
 * - Half a surrogate pair. It is no character, so it has no form in UTF-8, in which S3, Redis and URLs store text. Only
 *   escapes in JSON (`"\ud800"`) can contain one: bytes that are not UTF-8 become U+FFFD when they are decoded.
 * - NUL. Databases and C programs that get the text later refuse it or end there.
 *
 * @param value of a schema that limits its depth
 * @param field the name of the value in an error
 * @returns the first field with such text
 */
export function findWrongText(value: unknown, field = ''): FieldError | undefined {
  if (typeof value === 'string')
    return isWrong(value) ? { field: field || 'body', message: wrongText } : undefined
  if (typeof value !== 'object' || value === null) return undefined
  for (const [name, part] of Object.entries(value)) {
    // The name itself is not repeated in the error.
    if (isWrong(name)) return { field: field || 'body', message: wrongText }
    const wrong = findWrongText(part, field ? `${field}.${name}` : name)
    if (wrong) return wrong
  }
  return undefined
}

const wrongText = 'must be well-formed Unicode text without NUL'

function isWrong(text: string): boolean {
  return !text.isWellFormed() || text.includes('\0')
}
