import { S3Error } from '../protocol/s3-error.ts'

/** One condition of a POST policy. `source` is the condition as S3 repeats it in its error messages. */
export type PolicyCondition = { source: unknown[] } & (
  | { kind: 'eq' | 'starts-with'; field: string; expected: string }
  | { kind: 'content-length-range'; min: number; max: number }
  /** Well-formed, but no form can meet it: it names no field, or its limits are not numbers. */
  | { kind: 'unmeetable' }
)

export type PolicyDocument = { expiresAt: number; conditions: PolicyCondition[] }

const invalid = (reason: string) => new S3Error('InvalidPolicyDocument', `Invalid Policy: ${reason}`)

/**
 * Parses a POST policy (S3 API reference, "Creating a POST policy"). The messages are those of S3 where they are
 * known from recorded responses, otherwise those of versitygw (`s3err/post-object.go`), which imitates them.
 *
 * @param policy base64 of the JSON document
 * @throws S3Error InvalidPolicyDocument
 */
export function parsePolicyDocument(policy: string): PolicyDocument {
  let document: unknown
  try {
    document = JSON.parse(Buffer.from(policy, 'base64').toString('utf8'))
  } catch {
    throw invalid('Invalid JSON.')
  }
  if (!isRecord(document)) throw invalid('Invalid JSON.')
  const unexpected = Object.keys(document).find((name) => name !== 'expiration' && name !== 'conditions')
  if (unexpected !== undefined) throw invalid(`Unexpected: '${unexpected.toLowerCase()}'`)
  const { expiration, conditions } = document
  if (expiration === undefined) throw invalid('Policy missing expiration.')
  // S3 accepts UTC only: an offset is rejected.
  const isUtc =
    typeof expiration === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/.test(expiration)
  const expiresAt = isUtc ? Date.parse(expiration) : Number.NaN
  if (Number.isNaN(expiresAt)) throw invalid(`Invalid 'expiration' value: '${expiration}'`)
  if (conditions === undefined) throw invalid('Policy missing conditions.')
  if (!Array.isArray(conditions)) throw invalid("Invalid 'conditions' value: must be a List.")
  return { expiresAt, conditions: conditions.map(parseCondition) }
}

function parseCondition(condition: unknown): PolicyCondition {
  if (Array.isArray(condition)) return parseListCondition(condition)
  if (!isRecord(condition)) throw invalid('Invalid condition test: must be a List or Object.')
  const [entry, ...others] = Object.entries(condition)
  if (entry === undefined || others.length > 0) {
    throw invalid('Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.')
  }
  const [field, expected] = entry
  if (expected === null) throw invalid('Invalid JSON.')
  if (typeof expected !== 'string') throw invalid('Invalid Simple-Condition: value must be a string.')
  return { kind: 'eq', field: field.toLowerCase(), expected, source: ['eq', `$${field}`, expected] }
}

function parseListCondition(condition: unknown[]): PolicyCondition {
  const [operation, first, second] = condition
  if (operation === undefined) throw invalid('Invalid Condition: missing operation identifier.')
  if (typeof operation !== 'string') throw invalid('Invalid JSON.')
  const kind = operation.toLowerCase()
  if (kind !== 'eq' && kind !== 'starts-with' && kind !== 'content-length-range') {
    throw invalid(`Invalid Condition: unknown operation '${operation}'.`)
  }
  if (condition.length !== 3) throw invalid(`Invalid ${operation}: wrong number of arguments.`)
  if (kind === 'content-length-range') return parseLengthRange(condition)
  if (typeof first !== 'string' || typeof second !== 'string') throw invalid('Invalid JSON.')
  if (!first.startsWith('$')) return { kind: 'unmeetable', source: condition }
  return { kind, field: first.slice(1).toLowerCase(), expected: second, source: condition }
}

/** S3 accepts integers and their decimal text. Another text passes as a condition that no file meets. */
function parseLengthRange(condition: unknown[]): PolicyCondition {
  const limits = condition.slice(1).map((limit) => {
    if (typeof limit === 'string') return /^\d{1,15}$/.test(limit) ? Number(limit) : Number.NaN
    if (typeof limit === 'number' && Number.isSafeInteger(limit) && limit >= 0) return limit
    throw invalid('Invalid JSON.')
  })
  const [min = Number.NaN, max = Number.NaN] = limits
  if (Number.isNaN(min) || Number.isNaN(max)) return { kind: 'unmeetable', source: condition }
  return { kind: 'content-length-range', min, max, source: condition }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
