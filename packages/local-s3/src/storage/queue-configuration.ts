/** One QueueConfiguration: the events and keys whose messages go to one queue. */
export type QueueConfiguration = {
  id: string
  queueArn: string
  events: string[]
  prefix: string
  suffix: string
}

/**
 * Returns the configurations that match an event of a key.
 *
 * @param notification a bucket's configuration as JSON
 * @param eventName without `s3:`, for example `ObjectCreated:Put`
 */
export function matchingConfigurations(
  notification: string | undefined,
  eventName: string,
  key: string,
): QueueConfiguration[] {
  if (notification === undefined) return []
  const configurations: QueueConfiguration[] = JSON.parse(notification)
  return configurations.filter(
    ({ events, prefix, suffix }) =>
      key.startsWith(prefix) &&
      key.endsWith(suffix) &&
      events.some((event) => eventsOverlap(event, `s3:${eventName}`)),
  )
}

/** Whether one of two event names includes the other. Both may end in `*`. */
export function eventsOverlap(a: string, b: string): boolean {
  const includes = (pattern: string, name: string) =>
    pattern === name || (pattern.endsWith('*') && name.startsWith(pattern.slice(0, -1)))
  return includes(a, b) || includes(b, a)
}
