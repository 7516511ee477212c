import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3'

/** A command that a client sends. `key`: the object's, or the prefix of a listing; empty for others. */
export type SentCommand = { name: string; key: string }

/**
 * A client whose commands a test can stop at: between two steps it does what another process would do meanwhile, with another
 * client. It tries nothing again, so that an error of a hook ends the step as an error of S3 does.
 *
 * @param config of the client
 */
export function createSteppedS3(config: S3ClientConfig) {
  const s3 = new S3Client({ ...config, maxAttempts: 1 })
  const sent: SentCommand[] = []
  let before: (command: SentCommand) => unknown = () => undefined
  let after: (command: SentCommand) => unknown = () => undefined
  s3.middlewareStack.add(
    (next, context) => async (args) => {
      const { input } = args
      const key = 'Key' in input ? input.Key : 'Prefix' in input ? input.Prefix : ''
      const command = { name: (context['commandName'] ?? '').replace(/Command$/, ''), key: String(key ?? '') }
      sent.push(command)
      await before(command)
      const response = await next(args).catch(async (error: unknown) => {
        await after(command)
        throw error
      })
      await after(command)
      return response
    },
    { step: 'initialize', name: 'stepped' },
  )
  return {
    s3,
    /** All commands so far. */
    sent,
    /** Calls a function before each command is sent. What it throws is the command's error. */
    before(hook: (command: SentCommand) => unknown): void {
      before = hook
    },
    /** Calls a function after each response, before the caller gets it. */
    after(hook: (command: SentCommand) => unknown): void {
      after = hook
    },
    close: () => s3.destroy(),
  }
}

/** Returns a function that does its work once, at the first command that matches, and nothing afterwards. */
export function once(
  matches: (command: SentCommand) => boolean,
  work: () => unknown,
): (command: SentCommand) => unknown {
  let isDone = false
  return (command) => {
    if (isDone || !matches(command)) return undefined
    isDone = true
    return work()
  }
}
