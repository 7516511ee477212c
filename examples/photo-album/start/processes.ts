import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

const exitWithParent = join(import.meta.dirname, '../../../packages/local/src/fleet/exit-with-parent.ts')

/** A program that did not do what it was started for. Its output says why. */
export class ProgramError extends Error {}

type Start = { directory?: string; environment?: Record<string, string | undefined> }

/** Runs Node programs, and ends those that still run in reverse order. */
export function createProcesses() {
  const running: ChildProcess[] = []
  let stopped: Promise<void> | undefined

  function spawnNode(parameters: string[], { directory, environment }: Start): ChildProcess {
    if (stopped) throw new ProgramError('Stopped.')
    const child = spawn(process.execPath, ['--import', exitWithParent, ...parameters], {
      // Through the channel, a program learns that this process was killed.
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
      env: { ...process.env, ...environment },
      ...(directory !== undefined && { cwd: directory }),
    })
    running.push(child)
    child.stdout?.setEncoding('utf8')
    return child
  }

  return {
    /** Runs a program to its end. @returns what it printed @throws ProgramError if it fails */
    async run(parameters: string[], options: Start = {}): Promise<string> {
      const child = spawnNode(parameters, options)
      let output = ''
      child.stdout?.on('data', (text: string) => {
        output += text
      })
      const [code] = await once(child, 'close')
      if (code !== 0) throw new ProgramError(`${output}\n${parameters.join(' ')} failed.`)
      return output
    },

    /**
     * Starts a program that goes on.
     *
     * @param options.ready matches what it prints when it is ready
     * @returns the match, and `ended`, which rejects when it exits
     */
    async start(parameters: string[], options: Start & { ready: RegExp }) {
      const child = spawnNode(parameters, options)
      const ended = once(child, 'close').then(() => {
        throw new ProgramError(`${parameters.join(' ')} has exited.`)
      })
      const isReady = new Promise<RegExpExecArray>((resolve) => {
        let output = ''
        child.stdout?.on('data', (text: string) => {
          output += text
          const match = options.ready.exec(output)
          if (match) resolve(match)
        })
      })
      return { match: await Promise.race([isReady, ended]), ended }
    },

    /** Ends all programs, the last one first. Can be called twice. */
    stop(): Promise<void> {
      stopped ??= (async () => {
        for (const child of running.reverse()) {
          if (child.exitCode !== null || child.signalCode !== null) continue
          child.kill('SIGTERM')
          await once(child, 'close')
        }
      })()
      return stopped
    },
  }
}
