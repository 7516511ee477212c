import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'

/** The variable in which main.ts describes its run to the test file, as JSON. */
export const runVariable = 'MILLRACE_IMAGE_RUN'

const ImageRun = Type.Object({
  /** The copy of the repository of which the images were built. */
  directory: Type.String(),
  /** The paths that were copied. */
  paths: Type.Array(Type.String()),
  /** What the planted files contain. */
  secret: Type.String(),
  apiPort: Type.Integer(),
})

/** @throws Error if the test file was not started by main.ts */
export function readImageRun(environment: NodeJS.ProcessEnv): Static<typeof ImageRun> {
  const text = environment[runVariable]
  if (text === undefined) throw new Error('Run this with: npm run test:images')
  return Compile(ImageRun).Parse(JSON.parse(text))
}
