import type { UploadIntent, UploadMetadata } from '@millrace/shared/uploads/upload.ts'
import type { Caller } from './caller.ts'

/**
 * Returns the metadata that an upload gets when a caller sends some. What a token stamps wins over what its bearer sends,
 * when the file is announced and ever after.
 *
 * @param caller who sends the metadata; none: a visitor
 * @param metadata what it sends, all of it
 * @param current the upload, if it exists. What was stamped on it stays, whichever token its user has now. Only an API key
 *   of the tenant, which is no user's, may change it
 * @returns undefined if there is none
 */
export function stampedMetadata(
  caller: Pick<Caller, 'kind' | 'metadata'> | null | undefined,
  metadata: UploadMetadata | undefined,
  current?: Pick<UploadIntent, 'metadata' | 'stamped'>,
): UploadMetadata | undefined {
  const stamp = current ? stampedOn(current, caller) : caller?.metadata
  const merged = { ...metadata, ...stamp }
  return Object.keys(merged).length > 0 ? merged : undefined
}

function stampedOn(
  { metadata = {}, stamped = [] }: Pick<UploadIntent, 'metadata' | 'stamped'>,
  caller: Pick<Caller, 'kind'> | null | undefined,
): UploadMetadata {
  if (caller?.kind === 'key') return {}
  return Object.fromEntries(Object.entries(metadata).filter(([name]) => stamped.includes(name)))
}
