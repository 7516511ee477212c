import { useId, useState } from 'preact/hooks'
import { Button } from '../../design/button.tsx'
import { Dialog, DialogActions } from '../../design/dialog.tsx'
import '../../design/field.css'
import type { Operations } from '../operations.ts'
import { ShownOnce } from '../shown-once.tsx'
import { useForm } from '../use-form.ts'

const scopes = [
  { scope: 'uploads:read', note: 'list and download uploads' },
  { scope: 'uploads:write', note: 'send, change and erase uploads' },
  { scope: 'act-as', note: 'act for a user of the tenant' },
  { scope: 'tokens', note: 'make upload tokens for users' },
  { scope: 'tenant', note: 'manage keys, webhooks, users and usage' },
  { scope: 'admin', note: 'operate the service, for all tenants' },
] as const
type Scope = (typeof scopes)[number]['scope']

const daySeconds = 24 * 60 * 60
const lives = [
  { label: 'Never', seconds: 0 },
  { label: 'In a day', seconds: daySeconds },
  { label: 'In 30 days', seconds: 30 * daySeconds },
  { label: 'In 90 days', seconds: 90 * daySeconds },
  { label: 'In a year', seconds: 365 * daySeconds },
]

/** Creates an API key, and shows it once. Offers only scopes that the creator has, as the API demands. */
export function CreateKeyDialog(props: {
  operations: Operations
  onCreated: () => void
  onClose: () => void
}) {
  const { operations, onCreated, onClose } = props
  const { api, identity, send } = operations
  const [description, setDescription] = useState('')
  const [chosen, setChosen] = useState<readonly Scope[]>(['uploads:read', 'uploads:write'])
  const [expiresIn, setExpiresIn] = useState(0)
  const [tenant, setTenant] = useState('')
  const [key, setKey] = useState<string>()
  const ids = { description: useId(), expiry: useId(), tenant: useId() }
  const offered = scopes.filter(({ scope }) => identity.may(scope))
  const { submit, problem, isWrong, isBusy } = useForm(async () => {
    const body = {
      scopes: chosen.filter((scope) => identity.may(scope)),
      ...(description && { description }),
      ...(expiresIn > 0 && { expiresIn }),
      ...(tenant && { tenant }),
    }
    setKey((await send(api.POST('/keys', { body }))).key)
    onCreated()
  })
  if (key !== undefined) {
    return (
      <Dialog title="Key created" onClose={onClose}>
        <ShownOnce secret={key} what="the key">
          Copy the key now. It is not shown again: only its hash is stored.
        </ShownOnce>
        <DialogActions>
          <Button label="Done" look="primary" onClick={onClose} />
        </DialogActions>
      </Dialog>
    )
  }
  const toggle = (scope: Scope) =>
    setChosen(chosen.includes(scope) ? chosen.filter((other) => other !== scope) : [...chosen, scope])
  return (
    <Dialog title="Create key" onClose={onClose}>
      <form class="form" onSubmit={submit}>
        <div class="field">
          <label for={ids.description}>What it is for</label>
          <input
            id={ids.description}
            class="input"
            maxLength={256}
            placeholder="the shop’s backend"
            value={description}
            onInput={({ currentTarget }) => setDescription(currentTarget.value)}
          />
        </div>
        <fieldset class="field">
          <legend>Scopes</legend>
          {offered.map(({ scope, note }) => (
            <label key={scope} class="choice">
              <input type="checkbox" checked={chosen.includes(scope)} onChange={() => toggle(scope)} />
              <span>
                <code>{scope}</code> <small>{note}</small>
              </span>
            </label>
          ))}
        </fieldset>
        <div class="field">
          <label for={ids.expiry}>Expires</label>
          <select
            id={ids.expiry}
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
        {identity.may('admin') && (
          <div class="field">
            <label for={ids.tenant}>Tenant</label>
            <input
              id={ids.tenant}
              class="input"
              maxLength={63}
              placeholder="your own"
              value={tenant}
              aria-invalid={isWrong('tenant')}
              onInput={({ currentTarget }) => setTenant(currentTarget.value.trim())}
            />
          </div>
        )}
        <p class="problem" role="alert">
          {problem}
        </p>
        <DialogActions>
          <Button label="Cancel" onClick={onClose} />
          <Button
            label="Create key"
            look="primary"
            submits
            disabled={isBusy || chosen.every((scope) => !identity.may(scope))}
          />
        </DialogActions>
      </form>
    </Dialog>
  )
}
