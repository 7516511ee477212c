import { GetQueueAttributesCommand, QueueDoesNotExist, type SQSClient } from '@aws-sdk/client-sqs'
import { defaultLeaseMs, maxReceives } from '@millrace/shared/jobs/events-queue.ts'
import { type Check, error, type Finding, ok, warning } from './finding.ts'

/** So many arrivals that wait are worth a warning: at ten jobs a second they take a quarter of an hour. */
const longBacklog = 10_000

/** The checks of the queue of S3's events and of its dead-letter queue. */
export function queueChecks(deps: { sqs: SQSClient; queueUrl: string }): Check[] {
  const { sqs, queueUrl } = deps
  const attributes = async (url: string, abortSignal: AbortSignal) => {
    const command = new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['All'] })
    return (await sqs.send(command, { abortSignal })).Attributes ?? {}
  }
  return [
    {
      name: 'queue',
      async run(signal) {
        try {
          return settingsFindings(await attributes(queueUrl, signal))
        } catch (failure) {
          if (!(failure instanceof QueueDoesNotExist)) throw failure
          return [error(`There is no queue ${queueUrl}.`, 'Deploy the stage, or correct EVENTS_QUEUE_URL.')]
        }
      },
    },
    {
      name: 'dead-letters',
      async run(signal) {
        const { RedrivePolicy } = await attributes(queueUrl, signal)
        const arn = redriveOf(RedrivePolicy)?.arn
        if (arn === undefined) return []
        // A queue and its dead-letter queue belong to one account and region (SQS documentation).
        const url = queueUrl.replace(/[^/]+$/, arn.slice(arn.lastIndexOf(':') + 1))
        const { ApproximateNumberOfMessages: count = '0' } = await attributes(url, signal)
        if (count === '0') return [ok('There are no dead letters.')]
        return [
          warning(
            `${count} ${count === '1' ? 'event is a dead letter' : 'events are dead letters'}: their uploads were not processed.`,
            'Find the cause in the workers’ log, then run `npm run redrive`.',
          ),
        ]
      },
    },
  ]
}

function settingsFindings(attributes: Partial<Record<string, string>>): Finding[] {
  const findings: Finding[] = []
  const visibilityMs = Number(attributes['VisibilityTimeout'] ?? 0) * 1000
  if (visibilityMs < defaultLeaseMs) {
    findings.push(
      error(
        `A received event is visible again after ${visibilityMs / 1000} s; workers hold it for ${defaultLeaseMs / 1000} s, so files are processed twice.`,
        `aws sqs set-queue-attributes --queue-url … --attributes VisibilityTimeout=${defaultLeaseMs / 1000}`,
      ),
    )
  }
  const redrive = redriveOf(attributes['RedrivePolicy'])
  if (!redrive) {
    findings.push(
      error(
        'The queue has no dead-letter queue: an event that always fails is tried until SQS deletes it.',
        'Deploy again, or set RedrivePolicy of the queue.',
      ),
    )
  } else if (redrive.maxReceives < maxReceives) {
    findings.push(
      warning(
        `An event becomes a dead letter after ${redrive.maxReceives} receives, during an outage of ${redrive.maxReceives} min; ${maxReceives} are meant.`,
        `Set maxReceiveCount of the queue's RedrivePolicy to ${maxReceives}.`,
      ),
    )
  }
  const backlog = Number(attributes['ApproximateNumberOfMessages'] ?? 0)
  if (backlog > longBacklog) {
    findings.push(
      warning(
        `${backlog} events wait.`,
        'Raise the maximum of workers, or look into their log: they may not run.',
      ),
    )
  }
  return findings.length > 0
    ? findings
    : [ok('The queue holds events as long as workers need, and keeps those that fail.')]
}

/** Reads a queue's RedrivePolicy (JSON). AWS gives the count as a number, and accepts a text. */
function redriveOf(policy: string | undefined): { arn: string; maxReceives: number } | undefined {
  if (!policy) return undefined
  const parsed: unknown = JSON.parse(policy)
  if (typeof parsed !== 'object' || parsed === null) return undefined
  if (!('deadLetterTargetArn' in parsed && 'maxReceiveCount' in parsed)) return undefined
  return { arn: String(parsed.deadLetterTargetArn), maxReceives: Number(parsed.maxReceiveCount) }
}

/** Returns the ARN of a queue. */
export async function queueArnOf(sqs: SQSClient, queueUrl: string): Promise<string> {
  const command = new GetQueueAttributesCommand({ QueueUrl: queueUrl, AttributeNames: ['QueueArn'] })
  const arn = (await sqs.send(command)).Attributes?.['QueueArn']
  if (arn === undefined) throw new Error(`SQS tells no ARN of ${queueUrl}.`)
  return arn
}
