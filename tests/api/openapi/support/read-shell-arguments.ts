import { execFileSync } from 'node:child_process'

/**
 * Lets a shell read commands, in which `curl` is a function that prints its arguments. Nothing is sent.
 *
 * @param commands each runs `curl` once
 * @param environment the variables that the commands use
 * @returns the arguments of each command
 */
export function readShellArguments(commands: string[], environment: Record<string, string>): string[][] {
  const script = `curl() { printf '%s\\0' "$@"; printf '\\001'; }\n${commands.join('\n')}`
  const output = execFileSync('sh', ['-c', script], { encoding: 'utf8', env: environment })
  const lists = output.split('\u0001').slice(0, -1)
  return lists.map((list) => list.split('\0').slice(0, -1))
}
