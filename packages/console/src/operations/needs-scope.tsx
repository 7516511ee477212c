import { KeyRound, Lock } from 'lucide-preact'
import type { ComponentChildren } from 'preact'
import { Button } from '../design/button.tsx'
import { EmptyState } from '../design/empty-state.tsx'
import type { Identity } from '../frame/identity.ts'

/**
 * Shows a page to those who have a scope. Others read what they need, and can sign in.
 *
 * @param props.purpose what the page is for, as in "Sign in to {purpose}"
 */
export function NeedsScope(props: {
  identity: Identity
  scope: string
  purpose: string
  children: ComponentChildren
}) {
  const { identity, scope, purpose, children } = props
  if (!identity.session.value) {
    return (
      <p class="loading" role="status">
        Loading…
      </p>
    )
  }
  if (identity.may(scope)) return children
  const isSignedIn = identity.signedIn.value !== undefined
  return (
    <EmptyState
      icon={isSignedIn ? Lock : KeyRound}
      title={isSignedIn ? 'Your sign-in does not allow this' : `Sign in to ${purpose}`}
    >
      <p>
        {isSignedIn ? `To ${purpose}, sign in with` : 'This needs'} an API key that has the scope{' '}
        <code>{scope}</code>.
      </p>
      <Button
        label={isSignedIn ? 'Sign in with another key' : 'Sign in with an API key'}
        look="primary"
        onClick={() => {
          identity.asksForKey.value = true
        }}
      />
    </EmptyState>
  )
}
