import type { Environment } from '@millrace/shared/service/environment.ts'
import { startApiInstances } from './api-instances.ts'
import { startWorkerBeside } from './worker-beside-api.ts'

/**
 * Starts an API instance and a worker with one decoder in this process, with their own local cloud: for tests of what uses the system. Three
 * processes of `npm start` cost three times the CPU time.
 *
 * @param environment replaces variables of both
 */
export async function startApiWithWorker(environment: Environment) {
  const api = await startApiInstances({ environment: { WORKER_SLOTS: '1', ...environment } })
  const worker = await startWorkerBeside(api)
  return {
    url: api.url,
    async close() {
      await worker.close()
      await api.close()
    },
  }
}

export type ApiWithWorker = Awaited<ReturnType<typeof startApiWithWorker>>
