import { Button } from '../design/button.tsx'
import type { Toasts } from '../design/toasts.tsx'
import type { Identity } from './identity.ts'

/** Says that the session acts for nobody any more, because its API key or token has ended, and what to do. */
export function SignInEnded({ identity, toasts }: { identity: Identity; toasts: Toasts }) {
  const signOut = () =>
    identity.signOut().catch((error) => toasts.tellFailure('Signing out did not work', error))
  return (
    <div class="notice" role="alert">
      <span>You are no longer signed in: the API key or token has expired or was revoked.</span>
      <div class="page-actions">
        <Button
          label="Sign in again"
          onClick={() => {
            identity.asksForKey.value = true
          }}
        />
        <Button label="Continue without" look="quiet" onClick={signOut} />
      </div>
    </div>
  )
}
