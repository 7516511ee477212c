import { randomBytes } from 'node:crypto'
import type { Environment } from '@millrace/shared/service/environment.ts'
import { startWorkerFleet } from '../worker/support/worker-fleet.ts'
import { startApiProcess } from './api-process.ts'

/**
 * Starts one API instance and one worker as processes, with a local cloud of their own.
 *
 * @param environment of both
 */
export async function startServices(environment: Environment) {
  const fleet = await startWorkerFleet()
  try {
    const shared = { ...fleet.environment, LOG_LEVEL: 'info', ...environment }
    const [api, worker] = await Promise.all([
      startApiProcess({
        ...shared,
        INSTANCE: 'api',
        PUBLIC_ORIGIN: 'http://localhost:3000',
        SESSION_KEYS: randomBytes(32).toString('base64'),
        MAX_EVENT_LOOP_DELAY_MS: '0',
      }),
      fleet.spawnWorker({ ...shared, INSTANCE: 'worker' }),
    ])
    return {
      ...fleet,
      api,
      worker,
      /** Returns the lines of the API's log. */
      apiLog: () =>
        api.lines.map((line): Record<string, unknown> => (line.startsWith('{') ? JSON.parse(line) : {})),
      /** Stops both as an instance's end does. @returns their exit codes */
      async stop(): Promise<unknown[]> {
        worker.kill('SIGTERM')
        return Promise.all([api.stop(), worker.exit()])
      },
      close: fleet.close,
    }
  } catch (error) {
    await fleet.close()
    throw error
  }
}

export type Services = Awaited<ReturnType<typeof startServices>>
