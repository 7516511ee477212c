import type { components } from './api-types.ts'

/** An upload, as the API describes it to its owner. */
export type Upload = components['schemas']['Upload']

/** Returns whether the state of an upload is final: `ready`, `rejected` or `failed`. */
export function isFinished({ state }: Pick<Upload, 'state'>): boolean {
  return state === 'ready' || state === 'rejected' || state === 'failed'
}
