import type { UploadTask } from '../sending/upload.ts'

/**
 * Starts to send a file as soon as the app's backend has allowed it. Until then, the task can be paused and aborted as well.
 *
 * @param allow asks the backend, and returns what starts to send
 * @param signal stops it
 */
export function startRouteTask(
  allow: () => Promise<() => UploadTask>,
  signal: AbortSignal | undefined,
): UploadTask {
  /** The state before the file is allowed. */
  let state: UploadTask['state'] = 'sending'
  let task: UploadTask | undefined
  let rejectEnded: (reason: unknown) => void = () => {}
  const ended = new Promise<never>((_, reject) => {
    rejectEnded = reject
  })

  function end(reason: unknown): void {
    if (task || state === 'failed') return
    state = 'aborted'
    rejectEnded(reason)
  }
  const onSignal = () => end(signal?.reason)
  signal?.addEventListener('abort', onSignal, { once: true })
  if (signal?.aborted) onSignal()

  async function send() {
    try {
      const start = await Promise.race([allow(), ended])
      task = start()
      if (state === 'paused') task.pause()
      return await task.sent
    } catch (error) {
      if (!task && state !== 'aborted') state = 'failed'
      throw error
    } finally {
      signal?.removeEventListener('abort', onSignal)
    }
  }

  const sent = send()
  // It is the caller's choice to follow the promise or the callbacks.
  sent.catch(() => undefined)

  return {
    get id() {
      return task?.id
    },
    get state() {
      return task?.state ?? state
    },
    sent,
    pause() {
      if (task) task.pause()
      else if (state === 'sending') state = 'paused'
    },
    resume() {
      if (task) task.resume()
      else if (state === 'paused') state = 'sending'
    },
    async abort(reason: unknown = new DOMException('The upload is aborted.', 'AbortError')) {
      if (task) await task.abort(reason)
      else end(reason)
    },
  }
}
