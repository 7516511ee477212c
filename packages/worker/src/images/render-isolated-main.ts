import { buffer } from 'node:stream/consumers'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { renderVariants } from './render-variants.ts'

/** Renders the image from standard input and discards the result. Only the exit code counts. */
const { preset, ...image } = JSON.parse(process.argv[2] ?? '')
try {
  await renderVariants({ ...image, bytes: await buffer(process.stdin) }, preset, {
    emit: () => {},
    signal: new AbortController().signal,
  })
} catch (error) {
  // The worker rejects a damaged image. It does not crash the process.
  if (!(error instanceof AppError)) throw error
}
