import { S3Client } from '@aws-sdk/client-s3'
import { createFormSigner } from '@millrace/api/signing/sign-form.ts'
import { S3Error } from '@millrace/local-s3/protocol/s3-error.ts'
import { verifyFormPolicy } from '@millrace/local-s3/signing/form-policy.ts'
import { createSignatureV4 } from '@millrace/local-s3/signing/signature-v4.ts'
import type { UploadIntent } from '@millrace/shared/uploads/upload.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'

const test = suite('form policy')
const region = 'eu-central-1'
const credentials = { accessKeyId: 'AKIDLOCAL', secretAccessKey: 'secret/key+' }
const s3 = new S3Client({ region, credentials, endpoint: 'http://127.0.0.1:1' })
const signForm = createFormSigner({ s3, bucket: 'bucket' })
const signatureV4 = createSignatureV4({ region, credentials })
const address = { owner: 's-1', id: '0199aaaa-aaaa-7aaa-8aaa-aaaaaaaaaaaa' }

test.after(() => s3.destroy())

const text = fc.string({ unit: 'binary', minLength: 1, maxLength: 40 })
const anIntent: fc.Arbitrary<UploadIntent> = fc.record(
  {
    filename: text,
    contentType: fc.constantFrom('image/jpeg', 'text/html; charset="utf-8"', 'a/b'),
    size: fc.integer({ min: 1, max: 8 * 1024 ** 2 }),
    preset: fc.constantFrom('default', 'photo'),
    metadata: fc.dictionary(fc.stringMatching(/^[a-z][a-z0-9_.-]{0,8}$/), text, { maxKeys: 3 }),
    declaredSha256: fc.stringMatching(/^[0-9a-f]{64}$/),
  },
  { requiredKeys: ['filename', 'contentType', 'size', 'preset'] },
)

/** Signs a form and returns its fields as the local S3 reads them. */
async function signFields(intent: UploadIntent) {
  const { fields } = await signForm(address, intent)
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name.toLowerCase(), value]))
}

/** Returns the error code of a rejected form, `undefined` for an accepted one. */
function errorCodeOf(fields: Record<string, string>, now = Date.now(), bucket = 'bucket') {
  try {
    verifyFormPolicy(signatureV4, fields, bucket, now)
    return undefined
  } catch (error) {
    if (error instanceof S3Error) return error.code
    throw error
  }
}

test('verifyFormPolicy accepts each signed form and returns the announced size as its only size', async () => {
  await checkProperty(
    fc.asyncProperty(anIntent, async (intent) => {
      const { contentLengthRange } = verifyFormPolicy(
        signatureV4,
        await signFields(intent),
        'bucket',
        Date.now(),
      )
      assert.equal(contentLengthRange, { min: intent.size, max: intent.size })
    }),
    { runs: 60 },
  )
})

test('verifyFormPolicy rejects a form with one field changed, removed or added', async () => {
  const change = fc.record({ pick: fc.nat(), value: text, kind: fc.constantFrom('change', 'remove', 'add') })
  await checkProperty(
    fc.asyncProperty(anIntent, change, async (intent, { pick, value, kind }) => {
      const fields = await signFields(intent)
      // The field `bucket` is optional because the URL contains the bucket.
      const names = Object.keys(fields).filter((name) => name !== 'bucket')
      const name = kind === 'add' ? 'x-amz-meta-added' : (names[pick % names.length] ?? '')
      const { [name]: before, ...others } = fields
      fc.pre(kind !== 'change' || before !== value)
      const changed = kind === 'remove' ? others : { ...others, [name]: value }
      assert.ok(errorCodeOf(changed), `${kind} ${name}`)
    }),
    { runs: 120 },
  )
})

test('verifyFormPolicy accepts a form for an hour, and rejects it later or for another bucket', async () => {
  await checkProperty(
    fc.asyncProperty(anIntent, fc.integer({ min: 1, max: 10 ** 9 }), async (intent, lateMs) => {
      const fields = await signFields(intent)
      assert.is(errorCodeOf(fields, Date.now() + 59 * 60 * 1000), undefined)
      assert.is(errorCodeOf(fields, Date.now() + 60 * 60 * 1000 + lateMs), 'AccessDenied')
      assert.is(errorCodeOf(fields, Date.now(), 'other'), 'AccessDenied')
    }),
    { runs: 20 },
  )
})

const endMs = Date.parse('2026-11-28T12:00:00Z')

/** Signs a form with conditions of the test. The fields of the signature have conditions. */
function signForPolicy(conditions: unknown[], fields: Record<string, string> = {}) {
  const amzDate = '20261128T110000Z'
  const credential = `${credentials.accessKeyId}/20261128/${region}/s3/aws4_request`
  const signing = {
    'x-amz-algorithm': 'AWS4-HMAC-SHA256',
    'x-amz-credential': credential,
    'x-amz-date': amzDate,
  }
  const own = Object.entries({ ...signing, bucket: 'bucket' }).map(([name, value]) => ({ [name]: value }))
  const document = { expiration: new Date(endMs).toISOString(), conditions: [...own, ...conditions] }
  const policy = Buffer.from(JSON.stringify(document)).toString('base64')
  const signed = { credential, sessionToken: undefined, amzDate }
  const { sign } = signatureV4.checkCredential(signed, endMs, 'InvalidArgument')
  return { ...signing, ...fields, policy, 'x-amz-signature': sign(policy) }
}

test('a policy is valid until exactly its end', () => {
  const fields = signForPolicy([])
  assert.equal(
    [endMs - 1, endMs, endMs + 1].map((now) => errorCodeOf(fields, now)),
    [undefined, undefined, 'AccessDenied'],
  )
})

test('a form without a field does not meet a condition on it, not even an empty one', () => {
  for (const field of ['key', 'content-type']) {
    for (const kind of ['eq', 'starts-with']) {
      const condition = [kind, `$${field}`, '']
      assert.is(errorCodeOf(signForPolicy([condition]), endMs), 'AccessDenied', `${kind} ${field}`)
      assert.is(
        errorCodeOf(signForPolicy([condition], { [field]: '' }), endMs),
        undefined,
        `${kind} ${field}`,
      )
    }
  }
})

test('a form whose signature lacks a part is told which, in the order of S3', () => {
  const parts = ['X-Amz-Algorithm', 'X-Amz-Credential', 'X-Amz-Date', 'X-Amz-Signature']
  const { policy, ...fields } = signForPolicy([])
  for (const [index, name] of parts.entries()) {
    const missing = Object.entries({ ...fields, policy }).filter(
      ([field]) => !parts.slice(index, index + 2).some((part) => part.toLowerCase() === field),
    )
    assert.throws(
      () => verifyFormPolicy(signatureV4, Object.fromEntries(missing), 'bucket', endMs),
      (error: unknown) =>
        error instanceof S3Error && error.code === 'InvalidArgument' && error.message.includes(`'${name}'`),
    )
  }
})

test('a form that is signed in no way is anonymous, and one with any field of Signature V2 is not supported', () => {
  const { policy } = signForPolicy([])
  assert.is(errorCodeOf({}), 'AccessDenied')
  assert.is(errorCodeOf({ policy }), 'AccessDenied')
  for (const field of ['signature', 'awsaccesskeyid'])
    assert.is(errorCodeOf({ policy, [field]: 'x' }), 'InvalidRequest', field)
})

test.run()
