import type { components } from '@millrace/client'
import { useId, useState } from 'preact/hooks'
import { Button } from '../../design/button.tsx'
import { CopyButton } from '../../design/copy-button.tsx'
import { Dialog, DialogActions } from '../../design/dialog.tsx'
import '../../design/field.css'
import { timeText } from '../../format/format-quantities.ts'
import type { Operations } from '../operations.ts'
import { ShownOnce } from '../shown-once.tsx'
import { useForm } from '../use-form.ts'

const MB = 1_000_000
const scopes: components['schemas']['TokenRequest']['scopes'] = ['uploads:read', 'uploads:write']
const lives = [
  { label: '10 minutes', seconds: 600 },
  { label: 'An hour', seconds: 3_600 },
  { label: 'A day', seconds: 86_400 },
]

/** Makes an upload token to try out what a user's browser may do with it, and shows how to send a file. */
export function TokenDialog({ operations, onClose }: { operations: Operations; onClose: () => void }) {
  const { api, send } = operations
  const [user, setUser] = useState('test-user')
  const [expiresIn, setExpiresIn] = useState(600)
  const [maxMegabytes, setMaxMegabytes] = useState('10')
  const [maxFiles, setMaxFiles] = useState('3')
  const [accept, setAccept] = useState('image/*')
  const [made, setMade] = useState<components['schemas']['UploadToken']>()
  const ids = { user: useId(), life: useId(), size: useId(), files: useId(), accept: useId() }
  const { submit, problem, isWrong, isBusy } = useForm(async () => {
    const types = accept.split(/[\s,]+/).filter(Boolean)
    const body = {
      user,
      expiresIn,
      scopes,
      ...(maxMegabytes && { maxFileBytes: Math.round(Number(maxMegabytes) * MB) }),
      ...(maxFiles && { maxFiles: Number(maxFiles) }),
      ...(types.length > 0 && { accept: types }),
    }
    setMade(await send(api.POST('/tokens', { body })))
  })
  if (made) return <MadeToken token={made} user={user} operations={operations} onClose={onClose} />
  return (
    <Dialog title="Try an upload token" onClose={onClose}>
      <form class="form" onSubmit={submit}>
        <p class="note">
          Your backend makes such tokens with <code>POST /tokens</code> and hands them to its users’ browsers.
          The limits are enforced by the API.
        </p>
        <div class="field">
          <label for={ids.user}>User, by your own id</label>
          <input
            id={ids.user}
            class="input"
            required
            maxLength={256}
            value={user}
            aria-invalid={isWrong('user')}
            onInput={({ currentTarget }) => setUser(currentTarget.value)}
          />
        </div>
        <div class="field-row">
          <div class="field">
            <label for={ids.size}>Largest file, in MB</label>
            <input
              id={ids.size}
              class="input"
              type="number"
              min="0.001"
              step="any"
              placeholder="no limit"
              value={maxMegabytes}
              aria-invalid={isWrong('maxFileBytes')}
              onInput={({ currentTarget }) => setMaxMegabytes(currentTarget.value)}
            />
          </div>
          <div class="field">
            <label for={ids.files}>Number of files</label>
            <input
              id={ids.files}
              class="input"
              type="number"
              min="0"
              placeholder="no limit"
              value={maxFiles}
              aria-invalid={isWrong('maxFiles')}
              onInput={({ currentTarget }) => setMaxFiles(currentTarget.value)}
            />
          </div>
        </div>
        <div class="field-row">
          <div class="field">
            <label for={ids.accept}>File types</label>
            <input
              id={ids.accept}
              class="input"
              placeholder="all"
              value={accept}
              aria-invalid={isWrong('accept')}
              onInput={({ currentTarget }) => setAccept(currentTarget.value)}
            />
          </div>
          <div class="field">
            <label for={ids.life}>Valid for</label>
            <select
              id={ids.life}
              class="input"
              value={expiresIn}
              onChange={({ currentTarget }) => setExpiresIn(Number(currentTarget.value))}
            >
              {lives.map(({ label, seconds }) => (
                <option key={seconds} value={seconds}>
                  {label}
                </option>
              ))}
            </select>
          </div>
        </div>
        <p class="problem" role="alert">
          {problem}
        </p>
        <DialogActions>
          <Button label="Cancel" onClick={onClose} />
          <Button label="Make token" look="primary" submits disabled={isBusy} />
        </DialogActions>
      </form>
    </Dialog>
  )
}

function MadeToken(props: {
  token: components['schemas']['UploadToken']
  user: string
  operations: Operations
  onClose: () => void
}) {
  const { token, user, operations, onClose } = props
  const { api, sendOnly } = operations
  const [state, setState] = useState<'valid' | 'revoked' | { problem: string }>('valid')
  const url = new URL('upload', document.baseURI).href
  const command = `curl '${url}' \\\n  -H 'Authorization: Bearer ${token.token}' \\\n  -F file=@photo.jpg`
  const revoke = () =>
    sendOnly(api.DELETE('/tokens/{id}', { params: { path: { id: token.id } } })).then(
      () => setState('revoked'),
      (error: unknown) => setState({ problem: error instanceof Error ? error.message : String(error) }),
    )
  return (
    <Dialog title="Token made" onClose={onClose}>
      <ShownOnce secret={token.token} what="the token">
        For <strong>{user}</strong>, until {timeText(Date.parse(token.expiresAt))}. It is not shown again.
      </ShownOnce>
      <div>
        <h3>Send a file with it</h3>
        <div class="code-box">
          <pre>{command}</pre>
          <CopyButton text={command} what="the command" />
        </div>
      </div>
      <p role="status">{state === 'revoked' && 'The token is revoked.'}</p>
      {typeof state === 'object' && (
        <p class="problem" role="alert">
          {state.problem}
        </p>
      )}
      <DialogActions>
        <Button
          label="Revoke token"
          look="danger"
          disabled={state === 'revoked'}
          onClick={() => void revoke()}
        />
        <Button label="Done" look="primary" onClick={onClose} />
      </DialogActions>
    </Dialog>
  )
}
