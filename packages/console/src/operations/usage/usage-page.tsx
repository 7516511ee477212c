import type { components } from '@millrace/client'
import { RotateCw } from 'lucide-preact'
import { useCallback, useEffect, useState } from 'preact/hooks'
import { Button } from '../../design/button.tsx'
import { Explained } from '../../design/explained.tsx'
import '../../design/table.css'
import type { Toasts } from '../../design/toasts.tsx'
import { sizeText, timeText } from '../../format/format-quantities.ts'
import { PageHeader } from '../../frame/page-header.tsx'
import { LoadState } from '../load-state.tsx'
import { NeedsScope } from '../needs-scope.tsx'
import type { Operations } from '../operations.ts'
import '../operations.css'
import { useLoaded } from '../use-loaded.ts'
import { UsageDays } from './usage-days.tsx'

type Usage = components['schemas']['Usage']
type UserUsage = components['schemas']['UserUsage']
type Quota = components['schemas']['Quota']
type Context = { operations: Operations; toasts: Toasts }

/** How often a first count is asked for until it is there, in ms. */
const countingMs = 3_000

/** How many files and bytes the tenant and its users have, and what they may have. */
export function UsagePage(context: Context) {
  const { identity } = context.operations
  return (
    <>
      <PageHeader title="Usage" note="Files and bytes of your users, counted in S3." />
      <NeedsScope identity={identity} scope="tenant" purpose="see the usage">
        <UsageOfTenant {...context} />
      </NeedsScope>
    </>
  )
}

function UsageOfTenant({ operations, toasts }: Context) {
  const { api, send } = operations
  const load = useCallback(() => send(api.GET('/usage')), [api, send])
  const loaded = useLoaded(load)
  const [further, setFurther] = useState<{ users: readonly UserUsage[]; nextCursor?: string }>()
  const isCounting = loaded.data !== undefined && 'state' in loaded.data
  useEffect(() => {
    if (!isCounting || loaded.isLoading) return
    const timer = setTimeout(() => void loaded.reload(), countingMs)
    return () => clearTimeout(timer)
  }, [isCounting, loaded.isLoading, loaded.reload])
  const loadMore = async (shown: readonly UserUsage[], cursor: string) => {
    try {
      const page = await send(api.GET('/usage', { params: { query: { cursor } } }))
      if ('state' in page) return
      const { users, nextCursor } = page
      setFurther({ users: [...shown, ...users], ...(nextCursor !== undefined && { nextCursor }) })
    } catch (error) {
      toasts.tellFailure('More users could not be loaded', error)
    }
  }
  const reload = () => {
    setFurther(undefined)
    void loaded.reload()
  }
  return (
    <LoadState loaded={loaded} what="The usage">
      {(usage) => {
        if ('state' in usage) {
          return (
            <p class="loading" role="status">
              The files are being counted. This takes a while the first time…
            </p>
          )
        }
        const { users, nextCursor } = further ?? usage
        return (
          <>
            <Totals usage={usage} />
            <UsageDays days={usage.days} />
            <section aria-labelledby="users-heading">
              <div class="section-header">
                <h2 id="users-heading">By user</h2>
                <span class="cell-note">
                  Counted at {timeText(Date.parse(usage.asOf))}
                  <Button label="Count again" icon={RotateCw} look="quiet" iconOnly onClick={reload} />
                </span>
              </div>
              <UserTable users={users} quota={usage.quota} />
              {nextCursor !== undefined && (
                <div class="more-row">
                  <Button label="Load more users" onClick={() => void loadMore(users, nextCursor)} />
                </div>
              )}
            </section>
          </>
        )
      }}
    </LoadState>
  )
}

function Totals({ usage: { files, bytes, quota } }: { usage: Usage }) {
  return (
    <dl class="figure-row">
      <div>
        <dt>Files</dt>
        <dd>{files.toLocaleString()}</dd>
      </div>
      <div>
        <dt>Stored</dt>
        <dd>{sizeText(bytes)}</dd>
      </div>
      <div>
        <dt>
          <Explained word="Quota of each user">
            Set by QUOTA_… of the service. It holds for each user, and for the tenant’s own files.
          </Explained>
        </dt>
        <dd class="figure-text">{quotaText(quota)}</dd>
      </div>
    </dl>
  )
}

function quotaText({ bytesTotal, filesTotal, bytesPerDay, filesPerDay }: Quota): string {
  const parts = [
    bytesTotal !== undefined && sizeText(bytesTotal),
    filesTotal !== undefined && `${filesTotal.toLocaleString()} files`,
    bytesPerDay !== undefined && `${sizeText(bytesPerDay)} a day`,
    filesPerDay !== undefined && `${filesPerDay.toLocaleString()} files a day`,
  ].filter((part) => part !== false)
  return parts.length === 0 ? 'none' : parts.join(', ')
}

function UserTable({ users, quota }: { users: readonly UserUsage[]; quota: Quota }) {
  if (users.length === 0) return <p class="note">Nobody has files yet.</p>
  const hasQuota = quota.bytesTotal !== undefined || quota.filesTotal !== undefined
  return (
    <div class="table-frame">
      <table class="table">
        <caption class="visually-hidden">Usage by user</caption>
        <thead>
          <tr>
            <th scope="col">User</th>
            <th scope="col" class="number-cell">
              Files
            </th>
            <th scope="col" class="number-cell">
              Stored
            </th>
            {hasQuota && (
              <th scope="col" class="is-wide">
                Of the quota
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {users
            .toSorted((a, b) => b.bytes - a.bytes)
            .map((usage) => (
              <tr key={usage.user ?? ''}>
                <th scope="row" class="main-cell">
                  <div class="cell-title">{usage.user ?? 'The tenant’s own files'}</div>
                </th>
                <td class="number-cell">{usage.files.toLocaleString()}</td>
                <td class="number-cell">{sizeText(usage.bytes)}</td>
                {hasQuota && (
                  <td class="is-wide">
                    <QuotaUse usage={usage} quota={quota} />
                  </td>
                )}
              </tr>
            ))}
        </tbody>
      </table>
    </div>
  )
}

/** The larger share of the two total limits. */
function QuotaUse({ usage, quota }: { usage: UserUsage; quota: Quota }) {
  const shares = [
    quota.bytesTotal === undefined ? 0 : usage.bytes / quota.bytesTotal,
    quota.filesTotal === undefined ? 0 : usage.files / quota.filesTotal,
  ]
  const percent = Math.round(Math.max(...shares) * 100)
  return (
    <span class="quota-use">
      <progress max={100} value={Math.min(percent, 100)} aria-label="Share of the quota" />
      {percent} %
    </span>
  )
}
