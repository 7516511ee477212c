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

test.run()
