import { TriangleAlert } from 'lucide-preact'
import type { ComponentChildren } from 'preact'
import { Button } from '../design/button.tsx'
import { EmptyState } from '../design/empty-state.tsx'
import type { Loaded } from './use-loaded.ts'

/**
 * Shows data once it is loaded; before that, that it loads, or why it could not be.
 *
 * @param props.what what is loaded, as the subject of a sentence: "The keys"
 */
export function LoadState<Data>(props: {
  loaded: Loaded<Data>
  what: string
  children: (data: Data) => ComponentChildren
}) {
  const { loaded, what, children } = props
  const { data, problem, reload } = loaded
  if (data !== undefined) {
    return (
      <>
        {problem && (
          <p class="problem" role="alert">
            {what} could not be loaded again: {problem}
          </p>
        )}
        {children(data)}
      </>
    )
  }
  if (!problem) {
    return (
      <p class="loading" role="status">
        Loading…
      </p>
    )
  }
  return (
    <div role="alert">
      <EmptyState icon={TriangleAlert} title={`${what} could not be loaded`}>
        <p>{problem}</p>
        <Button label="Try again" onClick={() => void reload()} />
      </EmptyState>
    </div>
  )
}
