/** Names of errors for credentials that have expired or cannot be found. */
const credentialErrors =
  /^(ExpiredToken(Exception)?|RequestExpired|InvalidClientTokenId|CredentialsProviderError|TokenProviderError)$/

/** Describes an error of the SDK in sentences: what AWS said, and what to do. */
export function describeAwsError(error: unknown): string {
  const { name, message } = error instanceof Error ? error : { name: '', message: String(error) }
  const said = /[.!?]$/.test(message) ? message : `${message}.`
  const advice = credentialErrors.test(name)
    ? 'Renew the credentials of this machine and deploy again.'
    : 'Deploy again.'
  return `The rollout stopped, because Auto Scaling could not be called: ${said} (${name}) A refresh that has started goes on at AWS. ${advice}`
}
