/** What a service sends to its parent process once it is ready. `port` is that of its HTTP server, if it has one. */
export type ReadyMessage = { event: 'ready'; port?: number }

/**
 * Tells the parent process over the IPC channel that this service is ready. A log line would depend on LOG_LEVEL. Does
 * nothing without a channel: only `npm start` and tests open one.
 *
 * @param port the port that the service listens on, if it has one
 */
export function reportReady(port?: number): void {
  const message: ReadyMessage = { event: 'ready', ...(port !== undefined && { port }) }
  // The callback takes the error of a parent that has just exited, which stops this process anyway.
  process.send?.(message, undefined, undefined, () => undefined)
}
