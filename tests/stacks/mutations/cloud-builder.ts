import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { CloudName } from '../cloud-options.ts'
import type { BuildRequest, BuildResponse } from './build-clouds.ts'

/** A process keeps the modules of all clouds that it has built, so another one takes over after this many. */
const buildsPerProcess = 25
/** A configuration that throws where Pulumi awaits nothing never ends. Building all clouds takes some 10 s of CPU. */
const buildLimitMs = 180_000

/**
 * Builds the clouds of a copy of the tree in a process of its own.
 *
 * @param directory the copy
 * @param environment of the process
 */
export function createCloudBuilder(directory: string, environment: NodeJS.ProcessEnv) {
  let child: ChildProcess | undefined
  let builds = 0

  function start(): ChildProcess {
    builds = 0
    return fork(join(directory, 'tests/stacks/mutations/build-clouds.ts'), {
      cwd: directory,
      env: environment,
      execArgv: ['--conditions=@millrace/source'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
  }

  function stop(): void {
    child?.kill()
    child = undefined
  }

  return {
    /**
     * Builds clouds as the copy has them now.
     * @param file gets the clouds as JSON, by their names
     * @returns undefined, or the error of the configuration
     */
    async build(clouds: CloudName[], file: string): Promise<string | undefined> {
      if (builds >= buildsPerProcess) stop()
      child ??= start()
      builds += 1
      const ended = new AbortController()
      const request: BuildRequest = { clouds, file }
      child.send(request)
      try {
        const [response] = await Promise.race([
          once(child, 'message', { signal: ended.signal }),
          once(child, 'exit', { signal: ended.signal }).then((): [BuildResponse] => {
            stop()
            return [{ error: 'the process that builds clouds ended' }]
          }),
          once(AbortSignal.any([ended.signal, AbortSignal.timeout(buildLimitMs)]), 'abort').then(
            (): [BuildResponse] => {
              if (!ended.signal.aborted) stop()
              return [{ error: `it took longer than ${buildLimitMs / 1000} s` }]
            },
          ),
        ])
        return response.error
      } finally {
        ended.abort()
      }
    },

    stop,
  }
}

export type CloudBuilder = ReturnType<typeof createCloudBuilder>
