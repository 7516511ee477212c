import type { InterruptedFiles } from '../kept/interrupted-files.ts'
import { isUnsent } from '../sending-file.ts'
import type { SendTasks } from './send-tasks.ts'
import type { SendingList } from './sending-list.ts'

/**
 * Pauses files, and resumes them: also on the page after this one.
 *
 * @param deps.schedule starts what can be started
 */
export function createPauseFiles(deps: {
  list: SendingList
  tasks: SendTasks
  records: InterruptedFiles
  schedule: () => void
}) {
  const { list, tasks, records, schedule } = deps

  return {
    pause(key: string): void {
      const file = list.get(key)
      if (!file || !isUnsent(file)) return
      tasks.pause(key)
      records.update(key, { isPaused: true })
      list.change(key, { phase: 'paused', bytesPerSecond: undefined })
      schedule()
    },

    resume(key: string): void {
      if (list.get(key)?.phase !== 'paused') return
      records.update(key, { isPaused: false })
      list.change(key, { phase: 'queued' })
      schedule()
    },
  }
}
