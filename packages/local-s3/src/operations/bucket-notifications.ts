import { randomUUID } from 'node:crypto'
import { openRequestBody } from '../bodies/request-body.ts'
import { S3Error } from '../protocol/s3-error.ts'
import { childElements, childText, parseXmlBody, type XmlElement } from '../protocol/xml.ts'
import type { VerifiedRequest } from '../signing/signature-v4.ts'
import type { BucketTable } from '../storage/bucket-table.ts'
import { eventsOverlap, type QueueConfiguration } from '../storage/queue-configuration.ts'

const supportedEvents = [
  's3:ObjectCreated:*',
  's3:ObjectCreated:Put',
  's3:ObjectCreated:Post',
  's3:ObjectCreated:Copy',
  's3:ObjectCreated:CompleteMultipartUpload',
  's3:ObjectRemoved:*',
  's3:ObjectRemoved:Delete',
]

/**
 * GetBucketNotificationConfiguration and PutBucketNotificationConfiguration, for queues.
 *
 * @param deps.deliver sends S3's test message to each configured queue
 */
export function createBucketNotifications(deps: {
  buckets: BucketTable
  deliver: ((queueArn: string, body: string) => Promise<void>) | undefined
  bodyTimeoutMs: number
}) {
  const { buckets, deliver, bodyTimeoutMs } = deps

  /** @throws S3Error InvalidArgument if a queue does not accept the test message */
  async function sendTestEvents({ exchange }: VerifiedRequest, queueArns: Set<string>) {
    for (const queueArn of queueArns) {
      const message = {
        Service: 'Amazon S3',
        Event: 's3:TestEvent',
        Time: new Date().toISOString(),
        Bucket: exchange.bucket,
        RequestId: exchange.requestId,
        HostId: exchange.hostId,
      }
      try {
        if (deliver === undefined) throw new Error('this server was started without event delivery')
        await deliver(queueArn, JSON.stringify(message))
      } catch {
        throw new S3Error('InvalidArgument', 'Unable to validate the following destination configurations', {
          ArgumentName1: queueArn,
          ArgumentValue1: 'The destination queue does not exist or does not accept messages',
        })
      }
    }
  }

  return {
    async getBucketNotificationConfiguration({ exchange }: VerifiedRequest) {
      const { notification } = buckets.require(exchange.bucket)
      const configurations: QueueConfiguration[] = notification === undefined ? [] : JSON.parse(notification)
      exchange.sendXml(200, 'NotificationConfiguration', {
        QueueConfiguration: configurations.map(({ id, queueArn, events, prefix, suffix }) => {
          const rules = [
            { Name: 'Prefix', Value: prefix },
            { Name: 'Suffix', Value: suffix },
          ].filter((rule) => rule.Value !== '')
          return {
            Id: id,
            Queue: queueArn,
            Event: events,
            Filter: rules.length === 0 ? undefined : { S3Key: { FilterRule: rules } },
          }
        }),
      })
    },

    async putBucketNotificationConfiguration(call: VerifiedRequest) {
      const { exchange, signature } = call
      buckets.require(exchange.bucket)
      const body = openRequestBody(exchange, signature, { timeoutMs: bodyTimeoutMs })
      const root = parseXmlBody(await body.xml(), 'NotificationConfiguration')
      for (const child of childElements(root)) {
        if (child.name !== 'QueueConfiguration') {
          throw new S3Error('NotImplemented', `${child.name} is not implemented. Only QueueConfiguration is.`)
        }
      }
      const configurations = childElements(root, 'QueueConfiguration').map(parseQueueConfiguration)
      checkOverlaps(configurations)
      if (exchange.headers['x-amz-skip-destination-validation']?.toLowerCase() !== 'true') {
        await sendTestEvents(call, new Set(configurations.map(({ queueArn }) => queueArn)))
      }
      buckets.configure(
        exchange.bucket,
        'notification',
        configurations.length === 0 ? undefined : JSON.stringify(configurations),
      )
      exchange.send(200)
    },
  }
}

function parseQueueConfiguration(element: XmlElement): QueueConfiguration {
  const queueArn = childText(element, 'Queue')
  if (queueArn === undefined || !/^arn:aws[a-z-]*:sqs:[a-z0-9-]+:\d{12}:[A-Za-z0-9_.-]+$/.test(queueArn)) {
    throw new S3Error('InvalidArgument', 'The ARN could not be parsed', {
      ArgumentName: 'Queue',
      ArgumentValue: queueArn ?? '',
    })
  }
  const events = childElements(element, 'Event').map((event) => event.text)
  if (events.length === 0) throw new S3Error('MalformedXML')
  for (const event of events) {
    if (!supportedEvents.includes(event)) {
      throw new S3Error('InvalidArgument', 'A specified event is not supported for notifications', {
        ArgumentName: 'Event',
        ArgumentValue: event,
      })
    }
  }
  const filter = { prefix: '', suffix: '' }
  const names = new Set<string>()
  for (const rule of childElements(element, 'Filter')
    .flatMap((filterElement) => childElements(filterElement, 'S3Key'))
    .flatMap((s3Key) => childElements(s3Key, 'FilterRule'))) {
    const name = childText(rule, 'Name')?.toLowerCase()
    if ((name !== 'prefix' && name !== 'suffix') || names.has(name)) {
      throw new S3Error(
        'InvalidArgument',
        'filter rule name must be either prefix or suffix, each at most once',
      )
    }
    names.add(name)
    filter[name] = childText(rule, 'Value') ?? ''
  }
  return { id: childText(element, 'Id') ?? randomUUID(), queueArn, events, ...filter }
}

/** Rejects two configurations that the same event of the same key can match, as S3 does. */
function checkOverlaps(configurations: readonly QueueConfiguration[]) {
  configurations.forEach((a, index) => {
    for (const b of configurations.slice(index + 1)) {
      const events = a.events.some((event) => b.events.some((otherEvent) => eventsOverlap(event, otherEvent)))
      const prefixes = a.prefix.startsWith(b.prefix) || b.prefix.startsWith(a.prefix)
      const suffixes = a.suffix.endsWith(b.suffix) || b.suffix.endsWith(a.suffix)
      if (events && prefixes && suffixes) {
        throw new S3Error(
          'InvalidArgument',
          'Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are overlapping for the same event type.',
        )
      }
    }
  })
}
