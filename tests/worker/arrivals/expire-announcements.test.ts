import { ListObjectsV2Command, PutObjectCommand } from '@aws-sdk/client-s3'
import { createEraseUnfinished } from '@millrace/shared/ledger/erase-objects.ts'
import { announcementKey, originalKey, unfinishedKey } from '@millrace/shared/ledger/object-keys.ts'
import { newUploadId, uploadIdTimeMs } from '@millrace/shared/uploads/upload-id.ts'
import { createExpireUnfinished } from '@millrace/worker/arrivals/expire-unfinished.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('expired announcements')
const dayMs = 24 * 60 * 60 * 1000
let fleet: WorkerFleet

test.before(async () => {
  fleet = await startWorkerFleet()
})
test.after(() => fleet.close())

test('an announcement is erased once its upload expired, and a complete original stays', async () => {
  const { s3, bucket } = fleet
  const expireUnfinished = createExpireUnfinished({
    s3,
    bucket,
    eraseUnfinished: createEraseUnfinished({ s3, bucket }),
  })
  // Its announcement could not be deleted when it was completed.
  const complete = await fleet.arrive(new Uint8Array(7))
  const neverSent = { owner: 's-tester', id: newUploadId() }
  const put = (Key: string) => s3.send(new PutObjectCommand({ Bucket: bucket, Key, Body: '{}' }))
  for (const address of [complete, neverSent]) await put(announcementKey(address))
  await put(unfinishedKey(neverSent))
  const keys = async () => {
    const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket: bucket }))
    return Contents.map(({ Key }) => Key)
  }
  const onPage = async () => undefined
  const startedAtMs = uploadIdTimeMs(neverSent.id)
  assert.is(await expireUnfinished(onPage, startedAtMs + 7 * dayMs), 0)
  assert.is((await keys()).length, 4)
  await expireUnfinished(onPage, startedAtMs + 8 * dayMs)
  assert.equal(await keys(), [originalKey(complete)])
})

test.run()
