import type { components } from '@millrace/client'
import { FlaskConical, KeyRound, Plus } from 'lucide-preact'
import { useCallback, useState } from 'preact/hooks'
import { Badge } from '../../design/badge.tsx'
import { Button } from '../../design/button.tsx'
import { EmptyState } from '../../design/empty-state.tsx'
import { Explained } from '../../design/explained.tsx'
import '../../design/table.css'
import type { Toasts } from '../../design/toasts.tsx'
import { timeText } from '../../format/format-quantities.ts'
import { PageHeader } from '../../frame/page-header.tsx'
import { ConfirmDialog } from '../confirm-dialog.tsx'
import { LoadState } from '../load-state.tsx'
import { NeedsScope } from '../needs-scope.tsx'
import type { Operations } from '../operations.ts'
import { CreateKeyDialog } from './create-key-dialog.tsx'
import '../operations.css'
import { useLoaded } from '../use-loaded.ts'
import { TokenDialog } from './token-dialog.tsx'

type ApiKey = components['schemas']['ApiKey']
type Context = { operations: Operations; toasts: Toasts }

/** How long the API knows a last use, in ms. */
const rememberedMs = 90 * 24 * 60 * 60 * 1000

/** The API keys of the tenant: who else may act for it, and what they may do. */
export function KeysPage(context: Context) {
  const { identity } = context.operations
  const [isCreating, setIsCreating] = useState(false)
  const [isTrying, setIsTrying] = useState(false)
  const mayAdminister = identity.may('tenant')
  return (
    <>
      <PageHeader title="Keys" note="What your backends and scripts sign in with.">
        {identity.may('tokens') && (
          <Button label="Try an upload token" icon={FlaskConical} onClick={() => setIsTrying(true)} />
        )}
        {mayAdminister && (
          <Button label="Create key" icon={Plus} look="primary" onClick={() => setIsCreating(true)} />
        )}
      </PageHeader>
      <NeedsScope identity={identity} scope="tenant" purpose="manage API keys">
        <KeyList {...context} isCreating={isCreating} onCreated={() => setIsCreating(false)} />
      </NeedsScope>
      {isTrying && <TokenDialog operations={context.operations} onClose={() => setIsTrying(false)} />}
    </>
  )
}

function KeyList(props: Context & { isCreating: boolean; onCreated: () => void }) {
  const { operations, toasts, isCreating, onCreated } = props
  const [revoked, setRevoked] = useState<ApiKey>()
  const load = useCallback(
    async () => (await operations.send(operations.api.GET('/keys', { params: { query: {} } }))).keys,
    [operations],
  )
  const loaded = useLoaded(load)
  const revoke = async ({ id, tenant }: ApiKey) => {
    const params = { path: { id }, query: { tenant } }
    await operations.sendOnly(operations.api.DELETE('/keys/{id}', { params }))
    toasts.tell('The key is revoked. It is refused everywhere within seconds.')
    await loaded.reload()
  }
  return (
    <>
      <LoadState loaded={loaded} what="The keys">
        {(keys) =>
          keys.length === 0 ? <NoKeys /> : <KeyTable keys={keys} onRevoke={setRevoked} {...props} />
        }
      </LoadState>
      <p class="note">
        Keys of <code>API_KEYS</code> are not listed: they are in the settings of the service.
      </p>
      {isCreating && (
        <CreateKeyDialog operations={operations} onCreated={loaded.reload} onClose={onCreated} />
      )}
      {revoked && (
        <ConfirmDialog
          title="Revoke this key?"
          action="Revoke key"
          onConfirm={() => revoke(revoked)}
          onClose={() => setRevoked(undefined)}
        >
          <p>
            Whoever uses <strong>{nameOf(revoked)}</strong> gets 401 from now on. This cannot be undone.
          </p>
          {isOwnKey(operations, revoked) && <p class="problem">You are signed in with this key.</p>}
        </ConfirmDialog>
      )}
    </>
  )
}

function NoKeys() {
  return (
    <EmptyState icon={KeyRound} title="No keys made here yet">
      <p>Create one for each backend or script, with only the scopes that it needs.</p>
    </EmptyState>
  )
}

function KeyTable(props: Context & { keys: readonly ApiKey[]; onRevoke: (key: ApiKey) => void }) {
  const { keys, operations, onRevoke } = props
  return (
    <div class="table-frame">
      <table class="table">
        <caption class="visually-hidden">API keys, oldest first</caption>
        <thead>
          <tr>
            <th scope="col">Key</th>
            <th scope="col" class="is-wide">
              Scopes
            </th>
            <th scope="col" class="is-wide">
              <Explained word="Last used">The hour of the last request, as far as Redis knows.</Explained>
            </th>
            <th scope="col" class="is-wide">
              Expires
            </th>
            <th scope="col">
              <span class="visually-hidden">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {keys.map((key) => (
            <tr key={key.id}>
              <th scope="row" class="main-cell">
                <div class="cell-title">
                  {nameOf(key)}
                  {isOwnKey(operations, key) && <Badge text="You" tone="busy" />}
                  {hasExpired(key) && <Badge text="Expired" tone="warn" />}
                </div>
                <div class="cell-note">
                  <code>{key.id}</code>
                </div>
                <div class="cell-note only-narrow">{key.scopes.join(', ')}</div>
                <div class="cell-note only-narrow">
                  Used: {lastUseOf(key)} · Expires: {endOf(key)}
                </div>
              </th>
              <td class="is-wide">
                <span class="badges">
                  {key.scopes.map((scope) => (
                    <Badge key={scope} text={scope} />
                  ))}
                </span>
              </td>
              <td class="is-wide">{lastUseOf(key)}</td>
              <td class="is-wide">{endOf(key)}</td>
              <td class="actions-cell">
                <Button look="danger" label="Revoke" onClick={() => onRevoke(key)}>
                  <span class="visually-hidden"> {nameOf(key)}</span>
                </Button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function nameOf({ description, id }: ApiKey): string {
  return description || `Key …${id.slice(-6)}`
}

function isOwnKey({ identity }: Operations, { id }: ApiKey): boolean {
  const signedIn = identity.signedIn.value
  return signedIn !== undefined && 'keyId' in signedIn && signedIn.keyId === id
}

function hasExpired({ expiresAt }: ApiKey): boolean {
  return expiresAt !== undefined && Date.parse(expiresAt) <= Date.now()
}

function lastUseOf({ lastUsedAt, createdAt }: ApiKey): string {
  if (lastUsedAt === undefined) return 'unknown'
  if (lastUsedAt !== null) return timeText(Date.parse(lastUsedAt))
  return Date.now() - Date.parse(createdAt) < rememberedMs ? 'never' : 'not in 90 days'
}

function endOf({ expiresAt }: ApiKey): string {
  return expiresAt === undefined ? 'never' : timeText(Date.parse(expiresAt))
}
