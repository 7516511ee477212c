import '../../design/table.css'
import type { Toasts } from '../../design/toasts.tsx'
import { PageHeader } from '../../frame/page-header.tsx'
import type { Operations } from '../operations.ts'
import '../operations.css'
import { DeadLetters } from './dead-letters.tsx'
import { UnsuccessfulUploads } from './unsuccessful-uploads.tsx'

type Context = { operations: Operations; toasts: Toasts }

/** What did not work, and how to try it again. */
export function QueuesPage(context: Context) {
  return (
    <>
      <PageHeader title="Queues" note="What did not work, why, and trying it again." />
      <UnsuccessfulUploads state="failed" {...context} />
      <UnsuccessfulUploads state="rejected" {...context} />
      <DeadLetters {...context} />
    </>
  )
}
