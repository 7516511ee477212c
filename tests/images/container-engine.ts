import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** What is asked of the engine, and what is missing if it does not answer. */
const requirements: [parameters: string[], missing: string][] = [
  [['version', '--format', '{{.Server.Version}}'], 'no Docker daemon answers'],
  [['buildx', 'version'], "Docker's buildx plugin is not installed"],
  [['compose', 'version', '--short'], "Docker's compose plugin is not installed"],
]

/**
 * Finds a container engine: Docker with its plugins buildx and compose, or another engine that serves Docker's API at
 * `DOCKER_HOST`.
 *
 * @returns what is missing, or undefined if there is nothing
 */
export async function findMissingEngine(): Promise<string | undefined> {
  for (const [parameters, missing] of requirements) {
    try {
      await docker(parameters)
    } catch (error) {
      const isAbsent = error instanceof Error && 'code' in error && error.code === 'ENOENT'
      return isAbsent ? 'docker is not on PATH' : missing
    }
  }
  return undefined
}

/**
 * Runs `docker` and returns what it printed, without white space at the end.
 *
 * @throws Error with its exit code as `code`, if it fails
 */
export async function docker(parameters: string[]): Promise<string> {
  const { stdout } = await run('docker', parameters, { maxBuffer: 64 * 1024 ** 2 })
  return stdout.trimEnd()
}

/** Returns all lines that a container wrote to its output and to its errors. */
export async function readLogLines(container: string): Promise<string[]> {
  const { stdout, stderr } = await run('docker', ['logs', container], { maxBuffer: 64 * 1024 ** 2 })
  return [...stdout.split('\n'), ...stderr.split('\n')].filter(Boolean)
}
