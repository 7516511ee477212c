/**
 * How long a received message of S3's events stays invisible unless its worker extends that, in ms. When a worker died,
 * other workers receive its messages after this time.
 */
export const defaultLeaseMs = 60_000

/**
 * SQS moves a message to the dead-letter queue after it was received this often. A worker holds a message until its upload
 * is finished. So a receive is counted again only if a worker stopped or died, or if the message failed through a fault of
 * our own; an outage counts none (decision 0022). Each count takes at least one lease. So workers must fail for an hour
 * before an arrival ends in the dead-letter queue, and a message that always fails is tried once a minute in that hour.
 */
export const maxReceives = 60
