import { useId, useState } from 'preact/hooks'
import { Button } from '../design/button.tsx'
import { Dialog, DialogActions } from '../design/dialog.tsx'
import '../design/field.css'
import type { Identity } from './identity.ts'

/** Asks for an API key, and signs the browser in with it. */
export function SignInDialog({ identity }: { identity: Identity }) {
  const [key, setKey] = useState('')
  const [problem, setProblem] = useState('')
  const [isBusy, setIsBusy] = useState(false)
  const [fieldId, noteId, problemId] = [useId(), useId(), useId()]
  const close = () => {
    identity.asksForKey.value = false
  }
  const submit = async (event: SubmitEvent) => {
    event.preventDefault()
    if (isBusy) return
    if (key.trim() === '') return setProblem('Enter an API key.')
    setIsBusy(true)
    setProblem('')
    try {
      await identity.signIn(key.trim())
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error))
      setIsBusy(false)
    }
  }
  return (
    <Dialog title="Sign in" onClose={close}>
      <form class="form" onSubmit={submit} noValidate>
        <div class="field">
          <label for={fieldId}>API key</label>
          <input
            id={fieldId}
            class="input"
            type="password"
            name="api-key"
            autoComplete="off"
            autoCapitalize="off"
            spellcheck={false}
            placeholder="mr_…"
            value={key}
            aria-invalid={problem !== ''}
            aria-describedby={problem ? problemId : noteId}
            onInput={({ currentTarget }) => setKey(currentTarget.value)}
          />
          <p id={problemId} class="problem" role="alert">
            {problem}
          </p>
          <small id={noteId}>
            This browser then acts as the key, until you sign out. The key itself is not kept.
          </small>
        </div>
        <div class="sign-in-help">
          <small>No key yet? Create one on the server:</small>
          <code>npm run api-key -- create --tenant my-team --scope admin --scope uploads:read</code>
        </div>
        <DialogActions>
          <Button label="Cancel" onClick={close} />
          <Button label={isBusy ? 'Signing in…' : 'Sign in'} look="primary" submits disabled={isBusy} />
        </DialogActions>
      </form>
    </Dialog>
  )
}
