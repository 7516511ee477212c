import { S3Client } from '@aws-sdk/client-s3'
import { createJsonObjects } from '@millrace/shared/ledger/json-objects.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { startWorkerFleet, type WorkerFleet } from '../../worker/support/worker-fleet.ts'

const test = suite('JSON objects')
const counter = Compile(Type.Object({ count: Type.Integer(), note: Type.Optional(Type.String()) }))
let fleet: WorkerFleet

test.before(async () => {
  fleet = await startWorkerFleet()
})
test.after(() => fleet.close())

function open() {
  const s3 = new S3Client({ endpoint: fleet.environment['AWS_ENDPOINT_URL_S3'] ?? '', ...fleet.identity })
  return { s3, objects: createJsonObjects({ s3, bucket: fleet.bucket }, counter) }
}

test('a conditional write succeeds once: the second one finds another object', async () => {
  const { s3, objects } = open()
  assert.is(await objects.read('edits/once'), undefined)
  assert.ok(await objects.writeIf('edits/once', { count: 1 }, undefined))
  assert.not(await objects.writeIf('edits/once', { count: 2 }, undefined))
  const first = await objects.readStored('edits/once')
  assert.ok(await objects.writeIf('edits/once', { count: 3 }, first))
  assert.not(await objects.writeIf('edits/once', { count: 4 }, first))
  assert.equal(await objects.read('edits/once'), { count: 3 })
  await objects.delete('edits/once')
  assert.not(await objects.writeIf('edits/once', { count: 5 }, first), 'it is gone')
  s3.destroy()
})

test('a conditional write that the SDK repeats, because its response was lost, has succeeded', async () => {
  const { s3, objects } = open()
  s3.middlewareStack.add(
    (next, context) => async (args) => {
      if (context['commandName'] === 'PutObjectCommand') await next(args)
      return next(args)
    },
    { step: 'initialize' },
  )
  // A field without a value is no difference: JSON does not have it.
  const content: { count: number; note?: string } = { count: 1 }
  Object.assign(content, { note: undefined })
  assert.ok(await objects.writeIf('edits/repeated', content, undefined))
  const stored = await objects.readStored('edits/repeated')
  assert.ok(await objects.writeIf('edits/repeated', { count: 2 }, stored))
  s3.destroy()
})

test('an object of another version is not taken for none', async () => {
  const { s3, objects } = open()
  const other = createJsonObjects(
    { s3, bucket: fleet.bucket },
    Compile(Type.Object({ total: Type.Integer() })),
  )
  await other.write('edits/other', { total: 1 })
  const error = await objects.read('edits/other').catch((thrown: unknown) => thrown)
  assert.instance(error, AppError)
  assert.is(error instanceof AppError && error.code, 'unreadable_record')
  s3.destroy()
})

test.run()
