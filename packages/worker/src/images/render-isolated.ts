import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Preset } from '@millrace/shared/presets/preset.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { InspectedImage } from './inspect-image.ts'

const program = fileURLToPath(import.meta.resolve('./render-isolated-main.ts'))

/**
 * Renders an image in a child process first, to find out whether it crashes the decoder. If a worker died with a job,
 * the cause is unknown: a deploy, a late Spot notice, another job's image, or this one. If the child process dies, the
 * attempt fails, and after the last attempt the upload fails. Otherwise the job continues.
 *
 * @throws AppError `processing_failed` if the child process died
 */
export async function renderIsolated(
  image: InspectedImage,
  preset: Preset,
  signal: AbortSignal,
): Promise<void> {
  const { bytes, ...rest } = image
  const child = spawn(process.execPath, [program, JSON.stringify({ ...rest, preset })], {
    stdio: ['pipe', 'ignore', 'ignore'],
    signal,
    killSignal: 'SIGKILL',
  })
  // A child that dies before it read everything closes the pipe. Its exit code is checked below.
  child.stdin.on('error', () => {})
  child.stdin.end(bytes)
  const exit = await new Promise<number | NodeJS.Signals | null>((resolve, reject) => {
    child.once('error', reject).once('exit', (code, killedBy) => resolve(killedBy ?? code))
  })
  if (exit === 0) return
  throw new AppError('processing_failed', {
    message: 'The image crashes its decoder.',
    cause: new Error(`The child process ended with ${exit}.`),
  })
}

export type RenderIsolated = typeof renderIsolated
