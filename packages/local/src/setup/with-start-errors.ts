import { StartError } from './start-error.ts'

/**
 * Runs a command. Prints the sentence of a StartError instead of its stack trace.
 *
 * @param run returns the exit code
 * @returns the exit code
 * @throws any other error
 */
export async function withStartErrors(run: () => Promise<number>): Promise<number> {
  try {
    return await run()
  } catch (error) {
    if (!(error instanceof StartError)) throw error
    process.stderr.write(`${error.message}\n`)
    return error.exitCode
  }
}
