import type { Identity } from './identity.ts'
import './account.css'

/** Who uses the page. */
export function Account({ identity }: { identity: Identity }) {
  const session = identity.session.value
  const signedIn = identity.signedIn.value
  if (!session) return null
  return (
    <div>
      <strong>{signedIn ? signedIn.user : 'This browser'}</strong>
      {signedIn ? 'Signed in.' : 'Not signed in: only this browser’s session can see its uploads.'}
    </div>
  )
}
