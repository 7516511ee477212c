import { fileURLToPath } from 'node:url'
import { SendMessageCommand } from '@aws-sdk/client-sqs'
import { createArrivalFailures } from '@millrace/shared/jobs/arrival-failures.ts'
import { createDeadLetters } from '@millrace/shared/jobs/dead-letters.ts'
import * as assert from 'uvu/assert'
import { runCommand } from '../../support/run-command.ts'
import { suite } from '../../support/suite.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('redrive command')
const program = fileURLToPath(import.meta.resolve('@millrace/worker/redrive-main.ts'))
let fleet: WorkerFleet

test.before(async () => {
  fleet = await startWorkerFleet()
})
test.after(() => fleet.close())

const redrive = (...parameters: string[]) =>
  runCommand(program, parameters, { ...process.env, ...fleet.environment })

test('a dry run lists dead letters, a redrive lets a worker process them, and a second one finds none', async () => {
  const { DEAD_LETTER_QUEUE_URL: deadLetterQueueUrl = '', EVENTS_QUEUE_URL: eventsQueueUrl = '' } =
    fleet.environment
  const count = () => createDeadLetters({ ...fleet, deadLetterQueueUrl, eventsQueueUrl }).count()
  const address = await fleet.arrive(Buffer.from('text'))
  const key = `originals/${address.owner}/${address.id}`
  const body = JSON.stringify({
    Records: [{ eventName: 'ObjectCreated:Put', s3: { bucket: { name: fleet.bucket }, object: { key } } }],
  })
  const send = (MessageBody: string) =>
    fleet.sqs.send(new SendMessageCommand({ QueueUrl: deadLetterQueueUrl, MessageBody }))
  const { MessageId = '' } = await send(body)
  await send('not an event')
  await createArrivalFailures(fleet).record(MessageId, new RangeError('details'))

  const dry = await redrive('--dry-run')
  assert.equal([dry.code, dry.errors], [0, ''])
  assert.match(dry.output, `${MessageId}  received 1 times  original ${key}  RangeError\n`)
  assert.match(dry.output, 'received 1 times  not an S3 event\n')
  assert.match(dry.output, 'Dry run: 2 dead letters would be moved, nothing was changed.\n')
  assert.equal(await count(), { visible: 2, hidden: 0 })

  const first = await redrive('--limit', '1')
  assert.equal(
    [first.code, first.output, first.errors],
    [0, '1 dead letter moved to the events queue.\n', ''],
  )
  const rest = await redrive('--json')
  assert.is(rest.code, 0)
  assert.equal(JSON.parse(rest.output), { dryRun: false, moved: 1, count: 0, hidden: 0 })
  const worker = await fleet.startWorker()
  assert.is((await fleet.finished(address)).state, 'ready')
  await worker.close()
})

test('a redrive says what is wrong in one sentence', async () => {
  const unknown = await runCommand(program, [], {
    ...process.env,
    ...fleet.environment,
    DEAD_LETTER_QUEUE_URL: '',
  })
  assert.is(unknown.code, 2)
  assert.is(unknown.errors, 'DEAD_LETTER_QUEUE_URL is not set: it is the URL of the dead-letter queue.\n')
  const away = await runCommand(program, [], {
    ...process.env,
    ...fleet.environment,
    AWS_ENDPOINT_URL_SQS: 'http://127.0.0.1:9',
    DEAD_LETTER_QUEUE_URL: 'http://127.0.0.1:9/x',
    AWS_MAX_ATTEMPTS: '1',
  })
  assert.is(away.code, 1)
  assert.match(
    away.errors,
    /^Failed: .*ECONNREFUSED.*\. 0 dead letters moved\. Run it again for the rest: none is lost\.\n$/,
  )
})

test.run()
