import { buffer } from 'node:stream/consumers'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { renderVariants } from './render-variants.ts'

/** Renders the image on standard input and keeps nothing of it: all that counts is whether this survives. */
const { preset, ...image } = JSON.parse(process.argv[2] ?? '')
try {
  await renderVariants({ ...image, bytes: await buffer(process.stdin) }, preset, {
    emit: () => {},
    signal: new AbortController().signal,
  })
} catch (error) {
  // A damaged image is for the worker to reject; it kills nobody.
  if (!(error instanceof AppError)) throw error
}
