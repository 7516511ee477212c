/** A reason for not starting that the user can act on: its message is a sentence, shown without a stack. */
export class StartError extends Error {
  override readonly name = 'StartError'
  /** What the process exits with: 2 for a command line that makes no sense, 1 for everything else. */
  readonly exitCode: number

  constructor(message: string, exitCode = 1) {
    super(message)
    this.exitCode = exitCode
  }
}
