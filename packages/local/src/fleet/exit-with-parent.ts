import { isMainThread } from 'node:worker_threads'

// Preloaded (`node --import`) into a process that must not outlive the one that started it. The two share an
// IPC channel, which the system closes even when the starter is killed; then this process ends as if asked to.
// Redis and S3 go with the starter as a rule, so that there is little to wait for.
const lastMomentMs = 5_000

if (isMainThread && process.channel) {
  process.once('disconnect', () => {
    process.kill(process.pid, 'SIGTERM')
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), lastMomentMs).unref()
  })
  // Listening for the end must not keep the process from ending by itself.
  process.channel.unref()
}
