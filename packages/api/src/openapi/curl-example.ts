type Example = { example?: unknown; examples?: Record<string, { value?: unknown }> }
type Described = {
  tags: readonly string[]
  security: readonly Record<string, readonly string[]>[]
  parameters?: { name: string; in: string; required?: boolean; example?: unknown }[]
  requestBody?: { required?: boolean; content: Record<string, Example> }
  responses: Record<string, unknown>
}

/**
 * Returns the request of an operation's examples as a curl command. It reads the shell's variables
 * `MILLRACE_URL`, the API's address without a slash at its end, and `MILLRACE_KEY`, an API key. A test runs all of them.
 *
 * @param path in OpenAPI's form: `/uploads/{id}`
 * @param optional names of the optional parameters that it has
 */
export function curlExample(
  method: string,
  path: string,
  operation: Described,
  optional: readonly string[] = [],
): string {
  const sent = (operation.parameters ?? []).filter(
    ({ name, required }) => required === true || optional.includes(name),
  )
  const named = (place: string) => sent.filter((parameter) => parameter.in === place)
  const filled = named('path').reduce(
    (text, { name, example }) => text.replace(`{${name}}`, encodeURIComponent(String(example))),
    path,
  )
  const query = new URLSearchParams(named('query').flatMap(({ name, example }) => queryFields(name, example)))
  const body = bodyOf(operation)
  const usesSession = operation.tags.includes('session')
  const usesKey = !usesSession && operation.security.some((requirement) => 'apiKey' in requirement)
  return [
    `curl${methodOption(method)} "$MILLRACE_URL${filled}${query.size > 0 ? `?${query}` : ''}"`,
    ...(usesSession ? ['-b cookies.txt -c cookies.txt'] : []),
    ...(usesKey ? ['-H "Authorization: Bearer $MILLRACE_KEY"'] : []),
    ...named('header').map(({ name, example }) => `-H ${quote(`${name}: ${example}`)}`),
    ...(body ? [`-H ${quote(`content-type: ${body.type}`)}`, body.option] : []),
    ...(isStream(operation) ? ['-N'] : []),
  ].join(' \\\n  ')
}

function methodOption(method: string): string {
  if (method === 'get') return ''
  return method === 'head' ? ' -I' : ` -X ${method.toUpperCase()}`
}

/** A field of an object is sent as `name[field]=value`. */
function queryFields(name: string, example: unknown): [string, string][] {
  if (typeof example !== 'object' || example === null) return [[name, String(example)]]
  return Object.entries(example).map(([field, value]) => [`${name}[${field}]`, String(value)])
}

/** Returns the type of the body, and curl's option for it. Bytes come from a file. */
function bodyOf({ requestBody }: Described): { type: string; option: string } | undefined {
  const [first] = Object.entries(requestBody?.content ?? {})
  if (!first) return undefined
  const [type, { example, examples }] = first
  if (type === 'application/json') {
    return { type, option: `-d ${quote(JSON.stringify(example ?? examples?.['usual']?.value))}` }
  }
  if (type === 'text/plain') return { type, option: `-d ${quote(String(example))}` }
  return requestBody?.required === false ? undefined : { type, option: '--data-binary @harbour.jpg' }
}

function isStream({ responses }: Described): boolean {
  return JSON.stringify(responses['200'] ?? {}).includes('text/event-stream')
}

/** Quotes a text for a POSIX shell. */
function quote(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`
}
