/** A start-up failure that the user can fix. Its message is one sentence, printed without a stack trace. */
export class StartError extends Error {
  override readonly name = 'StartError'
  /** Exit code of the process: 2 for a wrong command line, 1 for everything else. */
  readonly exitCode: number

  constructor(message: string, exitCode = 1) {
    super(message)
    this.exitCode = exitCode
  }
}
