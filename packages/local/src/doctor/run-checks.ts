import { type Check, type CheckedFinding, error, type Finding } from './finding.ts'

/** How long one check may take, in ms. The upload's own check waits for a worker, which may be starting. */
const checkTimeoutMs = 45_000

/**
 * Runs checks one after the other, so that their findings appear in a fixed order and none disturbs another.
 *
 * @param onFindings called with the findings of each check as soon as it ends
 */
export async function runChecks(
  checks: readonly Check[],
  onFindings: (findings: CheckedFinding[]) => void,
): Promise<CheckedFinding[]> {
  const all: CheckedFinding[] = []
  for (const check of checks) {
    const findings = (await runCheck(check)).map((finding) => ({ check: check.name, ...finding }))
    onFindings(findings)
    all.push(...findings)
  }
  return all
}

async function runCheck({ name, run }: Check): Promise<Finding[]> {
  const signal = AbortSignal.timeout(checkTimeoutMs)
  try {
    return await run(signal)
  } catch (failure) {
    return [describeFailure(name, failure, signal.aborted)]
  }
}

/** The names of an error of AWS, or of a system call, that tell what to do. */
function describeFailure(name: string, failure: unknown, isTimeout: boolean): Finding {
  if (isTimeout) {
    return error(
      `No answer within ${checkTimeoutMs / 1000} s: ${name}.`,
      'Check that the service runs and that this machine can reach it.',
    )
  }
  const code = codeOf(failure)
  if (/AccessDenied|Forbidden|UnauthorizedOperation|NotAuthorized/i.test(code)) {
    return error(
      `The credentials in use may not read this: ${name} (${code}).`,
      'Use credentials that may: on AWS those of an administrator, or of the role that the deploy created.',
    )
  }
  if (
    /InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidClientTokenId|CredentialsProviderError/.test(
      code,
    )
  ) {
    return error(
      `AWS does not accept the credentials (${code}).`,
      'Sign in again, for example with `aws sso login`, and check AWS_PROFILE.',
    )
  }
  return error(`This could not be checked: ${name} (${messageOf(failure)}).`, remedyOfCode(code))
}

function remedyOfCode(code: string): string {
  return /ECONNREFUSED|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNRESET/.test(code)
    ? 'Check that the service runs, its address, and the network between.'
    : 'Run it again; if that does not help, the message names the cause.'
}

/** The code of a system call says more than the class of the error. */
function codeOf(failure: unknown): string {
  if (!(failure instanceof Error)) return ''
  if ('code' in failure && typeof failure.code === 'string') return failure.code
  return failure.name
}

function messageOf(failure: unknown): string {
  if (!(failure instanceof Error)) return String(failure)
  // An AggregateError of a connection has no message of its own.
  return failure.message || codeOf(failure)
}
