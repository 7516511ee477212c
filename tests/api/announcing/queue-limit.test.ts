import { ReceiveMessageCommand } from '@aws-sdk/client-sqs'
import { UploadView } from '@millrace/api/uploads/upload-view.ts'
import { createUploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { suite } from '../../support/suite.ts'

const test = suite('limit of queued jobs')
let api: ApiInstances

test.before(async () => {
  api = await startApiInstances({ environment: { MAX_QUEUED_JOBS: '2' } })
})
test.after(() => api.close())

/** Receives S3's events until there is one for each upload. */
async function eventsOf(ids: string[]): Promise<void> {
  const missing = new Set(ids)
  while (missing.size > 0) {
    const { Messages: messages = [] } = await api.sqs.send(
      new ReceiveMessageCommand({
        QueueUrl: api.environment.EVENTS_QUEUE_URL,
        MaxNumberOfMessages: 10,
        WaitTimeSeconds: 5,
      }),
    )
    for (const { Body: body = '' } of messages)
      for (const id of missing) if (body.includes(id)) missing.delete(id)
  }
}

test('the API adds no job above the limit of queued jobs, and the message of the upload waits in SQS', async () => {
  const client = createHttpClient(api.url)
  await client.get('/session')
  const { redis, prefix } = api
  const queue = createUploadQueue({ redis, prefix })
  const ids: string[] = []
  for (let i = 0; i < 4; i++) {
    const response = await client.post('/upload?filename=a.txt', {
      headers: { 'content-type': 'text/plain' },
      body: 'text',
    })
    assert.is(response.status, 201)
    const { id, state } = bodyOf(response, UploadView)
    assert.is(state, 'received')
    ids.push(id)
  }
  assert.is((await queue.counts()).prioritized, 2)
  await eventsOf(ids)
  await queue.close()
})

test.run()
