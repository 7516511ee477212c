import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Preset } from '@millrace/shared/presets/preset.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { InspectedImage } from './inspect-image.ts'

const program = fileURLToPath(import.meta.resolve('./render-isolated-main.ts'))

/**
 * Tries an image out in a process of its own, which alone dies of it if the image is such as kills its
 * decoder. A job that was lost with its worker cannot know what the worker died of: a redeploy, a Spot
 * notice that came too late, a neighbour's image, or its own. This tells: where the process dies, the attempt
 * fails like any other, and after the last one so does the upload; where it does not, the job goes on.
 *
 * @throws AppError `processing_failed` where the process died
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
  // A process that died before it had read everything closes its end; how it exits says all there is to say.
  child.stdin.on('error', () => {})
  child.stdin.end(bytes)
  const ending = await new Promise<number | NodeJS.Signals | null>((resolve, reject) => {
    child.once('error', reject).once('exit', (code, killedBy) => resolve(killedBy ?? code))
  })
  if (ending === 0) return
  throw new AppError('processing_failed', {
    message: 'The image ends the process that decodes it.',
    cause: new Error(`The process ended with ${ending}.`),
  })
}

export type RenderIsolated = typeof renderIsolated
