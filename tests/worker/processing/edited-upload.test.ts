import { S3Client } from '@aws-sdk/client-s3'
import { createEditUpload } from '@millrace/api/uploads/edit-upload.ts'
import * as assert from 'uvu/assert'
import { startS3Proxy } from '../../support/s3-proxy.ts'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('uploads that are changed while a worker has them')
let fleet: WorkerFleet

test.before(async () => {
  fleet = await startWorkerFleet()
})
test.after(() => fleet.close())

for (const [what, forgets] of [
  ['a change during processing stays when the upload is finished', false],
  ['a change during processing stays, also if Redis loses the record before the end', true],
] as const) {
  test(what, async () => {
    const proxy = await startS3Proxy(fleet.environment['AWS_ENDPOINT_URL_S3'] ?? '')
    const s3 = new S3Client({ endpoint: proxy.endpoint, ...fleet.identity })
    const held = proxy.hold(({ method, path }) => method === 'PUT' && path.includes('/manifests/'))
    const worker = await fleet.startWorker({ s3 })
    const address = await fleet.arrive(Buffer.from('just text'), { metadata: { album: 'summer' } })
    await held.arrived
    const lifecycle = createTestLifecycle(fleet)
    const { upload } = (await lifecycle.lookup.find(address)) ?? {}
    if (!upload) throw new Error('The upload was not found.')
    assert.is(upload.state, 'processing')
    await createEditUpload(lifecycle)(upload, { filename: 'renamed.txt', metadata: { by: 'Ida' } })
    if (forgets) await fleet.redis.del(`${fleet.prefix}:{${address.owner}}:upload:${address.id}`)
    fleet.changes.clear()
    held.release()
    const { intent } = await fleet.finished(address)
    assert.equal([intent.filename, intent.metadata], ['renamed.txt', { album: 'summer', by: 'Ida' }])
    assert.is((await fleet.manifests.read(address))?.intent.filename, 'photo.jpg')
    const again = await lifecycle.checkUpload(address)
    assert.equal([again?.upload.state, again?.upload.intent.filename], ['ready', 'renamed.txt'])
    await worker.close()
    s3.destroy()
    await proxy.close()
  })
}

test.run()
