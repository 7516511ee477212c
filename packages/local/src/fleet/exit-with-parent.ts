import { isMainThread } from 'node:worker_threads'

// Preloaded (`node --import`) into a process that must exit when its parent exits. The two share an IPC channel,
// which the system closes even if the parent is killed. Then this process sends itself SIGTERM.
// Redis and S3 usually stop with the parent, so a short timeout before SIGKILL is sufficient.
const exitTimeoutMs = 5_000

if (isMainThread && process.channel) {
  process.once('disconnect', () => {
    process.kill(process.pid, 'SIGTERM')
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), exitTimeoutMs).unref()
  })
  // The open channel must not keep this process running when it has nothing else to do.
  process.channel.unref()
}
