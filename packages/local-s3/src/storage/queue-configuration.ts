/** One QueueConfiguration: which events of which keys go to which queue. */
export type QueueConfiguration = {
  id: string
  queueArn: string
  events: string[]
  prefix: string
  suffix: string
}

/**
 * The configurations that an event of a key matches.
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

/** Whether one of two event names, of which either may end in `*`, covers the other. */
export function eventsOverlap(a: string, b: string): boolean {
  const covers = (wide: string, narrow: string) =>
    wide === narrow || (wide.endsWith('*') && narrow.startsWith(wide.slice(0, -1)))
  return covers(a, b) || covers(b, a)
}
