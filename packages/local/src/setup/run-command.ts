import { spawn } from 'node:child_process'

/** What these commands install or build is not secret: all users may read it. */
const commandUmask = 0o022

/**
 * Runs a command until it exits. The files that it creates are readable for all users, unlike those of this process.
 * @returns its exit code (null if a signal ended it) and its trimmed output, stdout and stderr together
 * @throws Error if the command cannot be started
 */
export async function runCommand(
  command: string,
  parameters: string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<{ code: number | null; output: string }> {
  // The child inherits it while `spawn` runs. There is no option for it.
  const ownUmask = process.umask(commandUmask)
  const child = spawn(command, parameters, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
  process.umask(ownUmask)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  return { code, output: output.trim() }
}
