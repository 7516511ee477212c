/**
 * Moves responses with problems out of a document's operations and replaces them by references, as many operations have the
 * same ones. With them at each operation, the document is three times as large and slow to show.
 *
 * @param paths of a document
 * @returns the paths with references, and the responses by name: `Problem404`, `Problem404v2`, …
 */
export function shareProblems(paths: unknown) {
  const names = new Map<string, string>()
  const responses: Record<string, unknown> = {}

  function nameOf(status: string, response: unknown): string {
    const text = JSON.stringify(response)
    const known = names.get(text)
    if (known !== undefined) return known
    const number = [...names.values()].filter((name) => name.startsWith(`Problem${status}`)).length
    const name = `Problem${status}${number === 0 ? '' : `v${number + 1}`}`
    names.set(text, name)
    responses[name] = response
    return name
  }

  function walk(value: unknown): unknown {
    if (Array.isArray(value)) return value.map(walk)
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(
      Object.entries(value).map(([key, field]) => [
        key,
        isProblem(field) ? { $ref: `#/components/responses/${nameOf(key, field)}` } : walk(field),
      ]),
    )
  }

  return { paths: walk(paths), responses }
}

function isProblem(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || !('content' in value)) return false
  const { content } = value
  return typeof content === 'object' && content !== null && 'application/problem+json' in content
}
