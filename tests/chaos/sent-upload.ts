import type { TestFile } from './files.ts'
import type { Owner } from './fleet.ts'

/** All ways to send a file. */
export const ways = [
  'form',
  'multipart',
  'direct-raw',
  'direct-form',
  'tus',
  'import',
  'uppy-form',
  'uppy-multipart',
] as const
export type Way = (typeof ways)[number]

/** What a client did with one file, and what it was told. */
export type SentUpload = {
  /** Also in the file's name, which identifies the upload in S3. */
  number: number
  owner: Owner
  way: Way
  file: TestFile
  idempotencyKey?: string
  startedAtMs: number
  /** All ids that a response named. More than one: the client started again, or a key made a second upload. */
  ids: Set<string>
  /** S3 or the API confirmed all bytes. An import is accepted when S3 has it, which its client does not see. */
  accepted?: { id: string; atMs: number }
  /** Why the client gave up: the step, the status and the code of the last response. */
  refusal?: string
  erasure?: {
    id: string
    askedAtMs: number
    /** Unknown: no response before the end of the run. */
    answer: 'receipt' | 'not-found' | 'unknown'
    /** The latest moment at which the erasure was done, if there is a receipt. */
    atMs: number
  }
}
