import { S3Error } from '../protocol/s3-error.ts'
import { parseAmzDate, type SignatureV4, signaturesEqual } from './signature-v4.ts'

/** The part of a valid policy that must be enforced while the file is received. */
export type FormPolicy = {
  /** Smallest and largest size of the file in bytes, both allowed. */
  contentLengthRange: { min: number; max: number } | undefined
}

/** Whether a field needs no condition (S3 API reference, "Creating a POST policy"). */
function isExempt(field: string): boolean {
  return ['x-amz-signature', 'file', 'policy'].includes(field) || field.startsWith('x-ignore-')
}

/**
 * Verifies a browser form: the signature of its policy, and its fields against the policy.
 *
 * @param fields lower-case names, `${filename}` already replaced
 * @param bucket the bucket of the URL
 * @param now milliseconds since 1970
 * @throws S3Error AccessDenied, InvalidArgument, InvalidAccessKeyId, SignatureDoesNotMatch, InvalidPolicyDocument
 */
export function verifyFormPolicy(
  signatureV4: SignatureV4,
  fields: Readonly<Record<string, string>>,
  bucket: string,
  now: number,
): FormPolicy {
  const { policy } = fields
  if (policy === undefined) throw new S3Error('AccessDenied')
  const required = (name: string) => {
    const value = fields[name]
    if (value === undefined) {
      throw new S3Error(
        'InvalidArgument',
        `Bucket POST must contain a field named '${name}'.  If it is specified, please check the order of the fields.`,
        { ArgumentName: name, ArgumentValue: '' },
      )
    }
    return value
  }
  if (required('x-amz-algorithm') !== 'AWS4-HMAC-SHA256') {
    throw new S3Error('InvalidArgument', 'X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"')
  }
  const amzDate = required('x-amz-date')
  if (Number.isNaN(parseAmzDate(amzDate))) {
    throw new S3Error(
      'InvalidArgument',
      "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"",
    )
  }
  const { sign } = signatureV4.checkCredential(required('x-amz-credential'), amzDate, 'InvalidArgument')
  if (!signaturesEqual(sign(policy), required('x-amz-signature'))) {
    throw new S3Error('SignatureDoesNotMatch', undefined, { StringToSign: policy })
  }

  const document = parsePolicy(policy)
  if (document.expiresAt < now) throw policyError('Policy expired.')
  const covered = new Set<string>()
  let contentLengthRange: FormPolicy['contentLengthRange']
  for (const condition of document.conditions) {
    if (condition.kind === 'content-length-range') {
      contentLengthRange = { min: condition.min, max: condition.max }
      continue
    }
    const { kind, field, expected } = condition
    covered.add(field)
    const values = field === 'bucket' ? [bucket, fields['bucket'] ?? bucket] : [fields[field]]
    if (!values.every((value) => meetsCondition(kind, field, value, expected))) {
      throw policyError(`Policy Condition failed: ["${kind}", "$${field}", "${expected}"]`)
    }
  }
  const extra = Object.keys(fields).filter((field) => !isExempt(field) && !covered.has(field))
  if (extra.length > 0) throw policyError(`Extra input fields: ${extra.join(', ')}`)
  return { contentLengthRange }
}

function policyError(reason: string): S3Error {
  return new S3Error('AccessDenied', `Invalid according to Policy: ${reason}`)
}

function meetsCondition(
  kind: 'eq' | 'starts-with',
  field: string,
  value: string | undefined,
  expected: string,
): boolean {
  if (value === undefined) return false
  if (kind === 'eq') return value === expected
  // Each entry of a list of content types must meet the condition.
  const entries = field === 'content-type' ? value.split(',') : [value]
  return entries.every((entry) => entry.startsWith(expected))
}

type Condition =
  | { kind: 'eq' | 'starts-with'; field: string; expected: string }
  | { kind: 'content-length-range'; min: number; max: number }

/** @throws S3Error InvalidPolicyDocument */
function parsePolicy(policy: string): { expiresAt: number; conditions: Condition[] } {
  const invalid = (message: string) => new S3Error('InvalidPolicyDocument', `Invalid Policy: ${message}`)
  let document: unknown
  try {
    document = JSON.parse(Buffer.from(policy, 'base64').toString('utf8'))
  } catch {
    throw invalid('Invalid JSON.')
  }
  if (typeof document !== 'object' || document === null) throw invalid('Invalid JSON.')
  const expiration = 'expiration' in document ? document.expiration : undefined
  const isIso =
    typeof expiration === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/.test(expiration)
  const expiresAt = isIso ? Date.parse(expiration) : Number.NaN
  if (Number.isNaN(expiresAt)) throw invalid("Policy missing or invalid 'expiration'.")
  if (!('conditions' in document) || !Array.isArray(document.conditions)) {
    throw invalid('Policy missing conditions.')
  }
  const conditions = document.conditions.flatMap((condition: unknown): Condition[] => {
    if (Array.isArray(condition)) return [parseListCondition(condition, invalid)]
    if (typeof condition !== 'object' || condition === null) throw invalid('Invalid condition.')
    return Object.entries(condition).map(([field, expected]) => {
      if (typeof expected !== 'string') throw invalid('Invalid Simple-Condition: value must be a string.')
      return { kind: 'eq', field: field.toLowerCase(), expected }
    })
  })
  return { expiresAt, conditions }
}

function parseListCondition(condition: unknown[], invalid: (message: string) => S3Error): Condition {
  const [kind, first, second] = condition
  if (condition.length !== 3 || typeof kind !== 'string') throw invalid('Invalid condition.')
  const operation = kind.toLowerCase()
  if (operation === 'content-length-range') {
    const [min, max] = [Number(first), Number(second)]
    const isCount = (value: number) => Number.isSafeInteger(value) && value >= 0
    if (first === null || second === null || !isCount(min) || !isCount(max)) {
      throw invalid('Invalid content-length-range.')
    }
    return { kind: operation, min, max }
  }
  if (operation !== 'eq' && operation !== 'starts-with')
    throw invalid(`Invalid condition: unknown operation '${kind}'.`)
  if (typeof first !== 'string' || !first.startsWith('$') || typeof second !== 'string') {
    throw invalid('Invalid condition.')
  }
  return { kind: operation, field: first.slice(1).toLowerCase(), expected: second }
}
