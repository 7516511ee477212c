import { LogIn, LogOut } from 'lucide-preact'
import { Button } from '../design/button.tsx'
import type { Toasts } from '../design/toasts.tsx'
import type { Identity } from './identity.ts'
import './account.css'

/** Who uses the page, and signing in and out. */
export function Account({ identity, toasts }: { identity: Identity; toasts: Toasts }) {
  if (!identity.session.value) return null
  const signedIn = identity.signedIn.value
  const signOut = () =>
    identity.signOut().catch((error) => toasts.tellFailure('Signing out did not work', error))
  if (!signedIn) {
    return (
      <div class="account-row">
        <div>
          <strong>Not signed in</strong>
          Only this browser sees its uploads.
        </div>
        <Button
          label="Sign in"
          icon={LogIn}
          onClick={() => {
            identity.asksForKey.value = true
          }}
        />
      </div>
    )
  }
  return (
    <div class="account-row is-signed-in">
      <div>
        <strong>{'user' in signedIn ? signedIn.user : signedIn.tenant}</strong>
        {'user' in signedIn ? (
          'Signed in as this user'
        ) : (
          <>
            API key <code title={signedIn.keyId}>{`…${signedIn.keyId.slice(-shownIdLength)}`}</code>
          </>
        )}
      </div>
      <Button label="Sign out" icon={LogOut} look="quiet" iconOnly onClick={signOut} />
    </div>
  )
}

/** Characters of a key's id that are shown where there is little room. */
const shownIdLength = 6
