import type { UploadIntent, UploadMetadata } from '@millrace/shared/uploads/upload.ts'
import { type Caller, hasScope } from './caller.ts'

/**
 * Returns the metadata that a new upload gets. What a token stamps wins over what its bearer sends.
 *
 * @param caller who sends the metadata; none: a visitor
 * @returns undefined if there is none
 */
export function stampedMetadata(
  caller: Pick<Caller, 'metadata'> | null | undefined,
  metadata: UploadMetadata | undefined,
): UploadMetadata | undefined {
  const merged = { ...metadata, ...caller?.metadata }
  return Object.keys(merged).length > 0 ? merged : undefined
}

/**
 * Returns the names of an upload's metadata that a caller cannot change: what was stamped on it stays, whichever token its
 * user has now. Only the tenant's backend, which may act for its users, changes it.
 */
export function stampedNames(
  caller: Pick<Caller, 'scopes'> | null,
  { stamped = [] }: Pick<UploadIntent, 'stamped'>,
): readonly string[] {
  return caller && hasScope(caller, 'act-as') ? [] : stamped
}
