import { S3Error } from '../protocol/s3-error.ts'
import { type PolicyCondition, parsePolicyDocument } from './policy-document.ts'
import { parseAmzDate, type SignatureV4, signaturesEqual, unsupportedMechanism } from './signature-v4.ts'

/** The part of a valid policy that must be enforced while the file is received. */
export type FormPolicy = {
  /** Smallest and largest size of the file in bytes, both allowed. */
  contentLengthRange: { min: number; max: number } | undefined
}

/** The fields of a signature, by S3's spelling in its messages, in the order in which S3 misses them. */
const signatureFields = ['X-Amz-Algorithm', 'X-Amz-Credential', 'X-Amz-Date', 'X-Amz-Signature']

/** Whether a field needs no condition (S3 API reference, "Creating a POST policy"). */
function isExempt(field: string): boolean {
  return (
    ['x-amz-signature', 'file', 'policy', 'awsaccesskeyid'].includes(field) || field.startsWith('x-ignore-')
  )
}

/**
 * Verifies a browser form: the signature of its policy, and its fields against the policy.
 *
 * @param fields lower-case names, `${filename}` already replaced
 * @param bucket the bucket of the URL
 * @param now milliseconds since 1970
 * @throws S3Error AccessDenied, InvalidArgument, InvalidRequest, InvalidAccessKeyId, InvalidToken, ExpiredToken,
 * SignatureDoesNotMatch,
 * InvalidPolicyDocument
 */
export function verifyFormPolicy(
  signatureV4: SignatureV4,
  fields: Readonly<Record<string, string>>,
  bucket: string,
  now: number,
): FormPolicy {
  const policy = verifySignature(signatureV4, fields, now)
  const document = parsePolicyDocument(policy)
  if (document.expiresAt < now) throw policyError('Policy expired.')
  const covered = new Set<string>()
  let contentLengthRange: FormPolicy['contentLengthRange']
  for (const condition of document.conditions) {
    if (condition.kind === 'unmeetable') throw conditionError(condition)
    if (condition.kind === 'content-length-range') {
      contentLengthRange = { min: condition.min, max: condition.max }
      continue
    }
    const { kind, field, expected } = condition
    covered.add(field)
    const values = field === 'bucket' ? [bucket, fields['bucket'] ?? bucket] : [fields[field]]
    if (!values.every((value) => meetsCondition(kind, field, value, expected)))
      throw conditionError(condition)
  }
  // The bucket of the URL counts as a field: S3 rejects a policy that would be valid for every bucket.
  const inputs = new Set(['bucket', ...Object.keys(fields)])
  const extra = [...inputs].filter((field) => !isExempt(field) && !covered.has(field))
  if (extra.length > 0) throw policyError(`Extra input fields: ${extra.join(', ')}`)
  return { contentLengthRange }
}

/**
 * Verifies the signature of a form's policy.
 *
 * @returns the policy as the form contains it
 * @throws S3Error AccessDenied, InvalidArgument, InvalidRequest, InvalidAccessKeyId, InvalidToken, ExpiredToken,
 * SignatureDoesNotMatch
 */
function verifySignature(
  signatureV4: SignatureV4,
  fields: Readonly<Record<string, string>>,
  now: number,
): string {
  const { policy } = fields
  if (policy === undefined) throw new S3Error('AccessDenied')
  const field = (name: string) => fields[name.toLowerCase()]
  if (signatureFields.every((name) => field(name) === undefined)) {
    // Signature V2 signs with the fields AWSAccessKeyId and signature. With none of the six the form is anonymous.
    const isSignatureV2 = field('AWSAccessKeyId') !== undefined || field('signature') !== undefined
    throw isSignatureV2 ? unsupportedMechanism() : new S3Error('AccessDenied')
  }
  const [algorithm = '', credential = '', amzDate = '', signature = ''] = signatureFields.map((name) => {
    const value = field(name)
    if (value === undefined) {
      throw new S3Error(
        'InvalidArgument',
        `Bucket POST must contain a field named '${name}'.  If it is specified, please check the order of the fields.`,
        { ArgumentName: name, ArgumentValue: '' },
      )
    }
    return value
  })
  if (algorithm !== 'AWS4-HMAC-SHA256') {
    throw new S3Error('InvalidArgument', 'X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"')
  }
  if (Number.isNaN(parseAmzDate(amzDate))) {
    throw new S3Error('InvalidArgument', 'X-Amz-Date must be formated via ISO8601 Long format', {
      ArgumentName: 'X-Amz-Date',
      ArgumentValue: amzDate,
    })
  }
  const sessionToken = field('X-Amz-Security-Token')
  const { sign } = signatureV4.checkCredential({ credential, sessionToken, amzDate }, now, 'InvalidArgument')
  if (!signaturesEqual(sign(policy), signature)) {
    throw new S3Error('SignatureDoesNotMatch', undefined, { StringToSign: policy })
  }
  return policy
}

function policyError(reason: string): S3Error {
  return new S3Error('AccessDenied', `Invalid according to Policy: ${reason}`)
}

/** S3 repeats the condition as it is written in the policy; a simple one as `["eq", "$field", "value"]`. */
function conditionError({ source }: PolicyCondition): S3Error {
  return policyError(`Policy Condition failed: [${source.map((item) => JSON.stringify(item)).join(', ')}]`)
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
